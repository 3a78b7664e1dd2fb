from importlib.metadata import EntryPoint
from typing import Any

import pytest

from delivery import providers
from delivery.providers import (
    UnknownProvider,
    canonical_name,
    get_fallback_provider,
    get_push_provider,
    known_names,
)
from delivery.providers.base import ConfigError
from delivery.providers.mqtt import Mqtt
from delivery.providers.simulation import Simulation

MQTT = {"url": "mqtt://127.0.0.1:1"}


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """What installed packages offer, in the place of really installing one."""
    offered: dict[str, EntryPoint] = {}
    monkeypatch.setattr(providers, "_third_party", lambda: offered)
    return offered


def entry_point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, providers.ENTRY_POINT_GROUP)


def test_builds_a_provider_by_its_name() -> None:
    assert isinstance(get_push_provider("mqtt", MQTT), Mqtt)


@pytest.mark.parametrize(
    ("old", "canonical"),
    [
        ("fcm_linux", "fcm"),
        ("fcm_android", "fcm"),
        ("apns_apple", "apns"),
        ("apns_macos", "apns"),
        ("apns_ios", "apns"),
        ("wns_windows", "wns"),
        ("mqtt_push", "mqtt"),
        ("webpush", "web_push"),
        ("web_push", "web_push"),
        ("unheard_of", "unheard_of"),
    ],
)
def test_reads_the_old_spellings(old: str, canonical: str) -> None:
    assert canonical_name(old) == canonical


def test_builds_a_provider_by_its_old_name() -> None:
    assert isinstance(get_push_provider("mqtt_push", MQTT), Mqtt)


def test_registers_each_provider_under_its_own_name() -> None:
    assert all(provider.name == name for name, provider in providers.BUILT_IN.items())


def test_lists_the_known_names_when_one_is_unknown() -> None:
    with pytest.raises(UnknownProvider, match=r"'pigeon'.*mqtt.*simulation"):
        get_push_provider("pigeon", {})


def test_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigError, match="MQTT_URL"):
        get_push_provider("mqtt", {})


def test_takes_a_provider_from_a_package(third_party: dict[str, EntryPoint]) -> None:
    third_party["pager"] = entry_point("pager", "delivery.providers.simulation:Simulation")

    provider = get_push_provider("pager", {})

    assert isinstance(provider, Simulation)
    assert "pager" in known_names()


def test_lets_no_package_replace_a_provider_of_ours(third_party: dict[str, EntryPoint]) -> None:
    third_party["mqtt"] = entry_point("mqtt", "delivery.providers.simulation:Simulation")

    assert isinstance(get_push_provider("mqtt", MQTT), Mqtt)


@pytest.mark.parametrize("value", ["json:loads", "delivery.outcomes:Outcome"])
def test_refuses_a_package_that_offers_something_else(third_party: dict[str, EntryPoint], value: str) -> None:
    third_party["pager"] = entry_point("pager", value)

    with pytest.raises(ConfigError, match="pager"):
        get_push_provider("pager", {})


@pytest.mark.parametrize(
    ("names", "configs", "chosen"),
    [
        (["mqtt", "simulation"], {"mqtt": MQTT}, Mqtt),
        (["mqtt", "simulation"], {}, Simulation),
        (["pigeon", "simulation"], {}, Simulation),
        (["simulation", "mqtt"], {"mqtt": MQTT}, Simulation),
        (["mqtt_push"], {"mqtt": MQTT}, Mqtt),
    ],
)
def test_falls_back_to_the_first_that_is_configured(names: list[str], configs: dict[str, Any], chosen: type) -> None:
    assert isinstance(get_fallback_provider(names, configs), chosen)


def test_says_why_none_was_available() -> None:
    with pytest.raises(ConfigError, match=r"mqtt: MQTT_URL .*; pigeon: unknown"):
        get_fallback_provider(["mqtt", "pigeon"])


def test_says_that_none_was_named() -> None:
    with pytest.raises(ConfigError, match="none was named"):
        get_fallback_provider([])
