"""Step 4: the providers by name. A new one is its module and one line in `BUILT_IN`, or a package's entry point."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from delivery.providers.apns import Apns
from delivery.providers.base import ConfigError, Provider
from delivery.providers.fcm import Fcm
from delivery.providers.mqtt import Mqtt
from delivery.providers.simulation import Simulation
from delivery.providers.web_push import WebPush
from delivery.providers.wns import Wns

ENTRY_POINT_GROUP = "homepot.providers"
"""A package offers a provider with an entry point of this group: its name and a `Provider` class."""

BUILT_IN: dict[str, type[Provider]] = {
    provider.name: provider for provider in (Fcm, Apns, Wns, WebPush, Mqtt, Simulation)
}

ALIASES = {
    "fcm_linux": "fcm",
    "fcm_android": "fcm",
    "apns_apple": "apns",
    "apns_macos": "apns",
    "apns_ios": "apns",
    "wns_windows": "wns",
    "mqtt_push": "mqtt",
    "webpush": "web_push",
}
"""Spellings of older systems that the API still reads; nothing of ours writes them."""


class UnknownProvider(ConfigError):
    """No provider has this name."""


def canonical_name(name: str) -> str:
    """The one spelling that is stored and shown; a name without alias is returned as it is, known or not."""
    return ALIASES.get(name, name)


def known_names() -> list[str]:
    """Every name that `get_push_provider` builds, aliases left out."""
    return sorted(BUILT_IN.keys() | _third_party().keys())


def provider_class(name: str) -> type[Provider]:
    """The class behind a name or alias; `UnknownProvider` lists what there is. A built-in name cannot be replaced."""
    name = canonical_name(name)
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name not in _third_party():
        raise UnknownProvider(f"unknown provider {name!r}; known are: {', '.join(known_names())}")
    loaded = _third_party()[name].load()
    if not (isinstance(loaded, type) and issubclass(loaded, Provider)):
        raise ConfigError(f"the entry point {name!r} of {ENTRY_POINT_GROUP} is not a Provider class")
    return loaded


def get_push_provider(name: str, config: Mapping[str, Any]) -> Provider:
    """Build the provider `name` from one credential's settings; `ConfigError` says what is missing."""
    return provider_class(name).from_config(config)


def get_fallback_provider(names: Sequence[str], configs: Mapping[str, Mapping[str, Any]] | None = None) -> Provider:
    """Build the first of `names` that is known and configured; `ConfigError` says why none was.

    `configs` holds each provider's settings under its canonical name; a name without an entry gets empty settings.
    """
    reasons = []
    for name in names:
        try:
            return get_push_provider(name, (configs or {}).get(canonical_name(name), {}))
        except ConfigError as missing:
            reasons.append(f"{name}: {missing}")
    raise ConfigError(f"no provider is available ({'; '.join(reasons) or 'none was named'})")


@cache
def _third_party() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
