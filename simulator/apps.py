"""The simulator app: management commands only, no tables."""

from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    name = "simulator"
