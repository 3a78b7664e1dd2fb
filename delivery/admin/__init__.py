"""What technicians see of it: one file per page, registered on import."""

from delivery.admin import channels, devices, history, jobs, keys, messages, people, providers, sites

__all__ = ["channels", "devices", "history", "jobs", "keys", "messages", "people", "providers", "sites"]
