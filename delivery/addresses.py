"""What an address of each provider looks like. Nothing that could not be one is stored."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from delivery import credentials
from delivery.providers import canonical_name, get_push_provider, known_names
from delivery.providers.base import ConfigError

MAX_ADDRESS_CHARS = 4096
VISIBLE = re.compile(r"[\x21-\x7e]+")
HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){16,100}")
MQTT_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,255}")
BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")

PROVIDER_OF_OS = (
    ("android", "fcm"),
    ("aosp", "fcm"),
    ("windows", "wns"),
    ("ipados", "apns"),
    ("ios", "apns"),
    ("iphone", "apns"),
    ("ipad", "apns"),
    ("macos", "apns"),
    ("linux", "fcm"),
)
"""The first word found in what a device says about its operating system decides."""


class BadAddress(ValueError):
    """Says what is wrong, and quotes nothing of the address."""


def provider_names() -> frozenset[str]:
    """Every provider that a channel may name, configured here or not."""
    return frozenset({*FORMS, *known_names()})


def provider_of_os(said: str) -> str | None:
    """The provider that serves this operating system; None where the words do not tell."""
    lowered = said.lower()
    return next((provider for word, provider in PROVIDER_OF_OS if word in lowered), None)


def provider_of_address(address: str) -> str:
    """For clients that name none: a Web Push subscription is JSON, all else is FCM's."""
    return "web_push" if address.lstrip().startswith("{") else "fcm"


def read(provider: str, address: str, credential: str = credentials.DEFAULT) -> str:
    """The one spelling in which the address is stored; `BadAddress` where it cannot be one of this provider.

    Of a credential that is configured here, the provider's own check is asked too: it may look up a host.
    """
    provider = canonical_name(provider)
    if not address or len(address) > MAX_ADDRESS_CHARS:
        raise BadAddress(f"an address has 1 to {MAX_ADDRESS_CHARS} characters")
    stored = FORMS.get(provider, _visible)(address)
    config = credentials.configured().get(provider, {}).get(credential)
    if config is not None:
        _ask_provider(provider, config, stored)
    return stored


def spelling(provider: str, address: str) -> str:
    """As `read` would have stored it, to find it again; unchanged where it cannot be an address of this provider."""
    try:
        return FORMS.get(canonical_name(provider), _visible)(address)
    except BadAddress:
        return address


def _ask_provider(provider: str, config: Mapping[str, Any], address: str) -> None:
    try:
        get_push_provider(provider, config).check_address(address)
    except ConfigError:
        return
    except ValueError as error:
        raise BadAddress(str(error)) from None


def _visible(address: str) -> str:
    if not VISIBLE.fullmatch(address):
        raise BadAddress("an address of this provider has no spaces and only ASCII characters")
    return address


def _apns(address: str) -> str:
    if not HEX.fullmatch(address):
        raise BadAddress("an APNs token is hexadecimal, 32 to 200 characters")
    return address.lower()


def _mqtt(address: str) -> str:
    if not MQTT_CLIENT_ID.fullmatch(address):
        raise BadAddress("an MQTT client id has 1 to 255 visible ASCII characters")
    return address


def _wns(address: str) -> str:
    host = _https_host(address)
    if not host.endswith(".notify.windows.com") and not _own_service("wns", address):
        raise BadAddress("a WNS channel is below notify.windows.com")
    return address


def _web_push(address: str) -> str:
    """`{"endpoint", "keys": {"p256dh", "auth"}}`; whatever else a browser adds is left out."""
    try:
        said = json.loads(address)
    except (ValueError, RecursionError):
        raise BadAddress("a Web Push subscription is JSON") from None
    keys = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(keys, dict):
        raise BadAddress("a Web Push subscription has endpoint and keys")
    parts = [said.get("endpoint"), keys.get("p256dh"), keys.get("auth")]
    if not all(isinstance(part, str) and VISIBLE.fullmatch(part) for part in parts):
        raise BadAddress("a Web Push subscription has endpoint, keys.p256dh and keys.auth")
    if not all(BASE64URL.fullmatch(str(part)) for part in parts[1:]):
        raise BadAddress("the keys of a Web Push subscription are base64url")
    _https_host(str(parts[0]))
    return json.dumps(
        {"endpoint": parts[0], "keys": {"auth": parts[2], "p256dh": parts[1]}}, separators=(",", ":"), sort_keys=True
    )


def _https_host(url: str) -> str:
    if not VISIBLE.fullmatch(url) or "\\" in url:
        raise BadAddress("the URL has characters that no URL has")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise BadAddress("the URL cannot be read") from None
    if parts.scheme != "https" or not host or parts.username is not None:
        raise BadAddress("the URL must be https and name a host")
    return host


def _own_service(provider: str, url: str) -> bool:
    """An origin that the operator allowed for any credential: the emulated services, for one."""
    parts = urlsplit(url)
    return any(
        f"{parts.scheme}://{parts.netloc}" in _listed(config.get("allow_origins"))
        for config in credentials.configured().get(provider, {}).values()
    )


def _listed(said: Any) -> list[str]:
    return [word.strip() for word in (said.split(",") if isinstance(said, str) else said or ())]


FORMS: dict[str, Callable[[str], str]] = {
    "fcm": _visible,
    "apns": _apns,
    "wns": _wns,
    "web_push": _web_push,
    "mqtt": _mqtt,
    "simulation": _visible,
}
