"""What technicians see of it: one file per page, registered on import."""

from delivery.admin import alerts, channels, commands, devices, history, jobs, keys, messages, people, providers, sites

__all__ = [
    "alerts",
    "channels",
    "commands",
    "devices",
    "history",
    "jobs",
    "keys",
    "messages",
    "people",
    "providers",
    "sites",
]
