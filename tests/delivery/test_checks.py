"""What `manage.py check --deploy` says of a server that is not closed."""

import pytest
from pytest_django import Settings

from delivery.checks import production_is_closed


@pytest.fixture
def closed(settings: Settings) -> Settings:
    """Nothing to complain about."""
    settings.CELERY_BROKER_URL = "redis://:password@broker/0"
    settings.MQTT_URL = "mqtts://homepot:password@broker"
    settings.CACHE_URL = "redis://:password@broker/1"
    settings.PROVIDERS = {}
    settings.ACK_KEYS = ["a key of its own"]
    return settings


def test_a_closed_server_passes(closed: Settings) -> None:
    assert production_is_closed() == []


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("CELERY_BROKER_URL", "redis://broker/0", "CELERY_BROKER_URL"),
        ("MQTT_URL", "mqtt://broker", "MQTT_URL"),
        ("CACHE_URL", "", "CACHE_URL"),
        ("PROVIDERS", {"simulation": {"default": {}}}, "Unset ALLOW_SIMULATION"),
        ("ACK_KEYS", ["only-for-tests-" + "x" * 40], "ACK_KEYS"),
    ],
)
def test_names_what_stands_open(closed: Settings, name: str, value: object, hint: str) -> None:
    setattr(closed, name, value)

    assert [found.hint for found in production_is_closed()] == [hint]
