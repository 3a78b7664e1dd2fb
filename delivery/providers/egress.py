"""Which URLs from outside may be contacted: Web Push endpoints, WNS channels, webhooks.

Such a URL is checked twice: when it is registered (`check`, then `admit`) and before each send (`check`, then
`Egress.post` in egress_client.py). It must be https on port 443, its host on the allowlist, and every address of that
host public.

Special-purpose addresses: https://www.iana.org/assignments/iana-ipv4-special-registry and
https://www.iana.org/assignments/iana-ipv6-special-registry. Python's own `is_global` is not asked, because it changes
from version to version; 3.11 calls multicast, NAT64 and 6to4 public.
"""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from delivery.providers.base import ConfigError

HTTPS_PORT = 443
MAX_URL_CHARS = 2048
MAX_HOST_CHARS = 253

URL_CHARS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")
LABEL = re.compile(r"(?!..--)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""Of a host name. No `xn--`: parsers differ on which internationalized names are valid."""
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
SPECIAL_IPV6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
SPECIAL_IPV4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)


class Refused(ValueError):
    """This URL is never contacted. The text is our own and quotes nothing of the URL."""


class Unresolved(Exception):
    """The name has no address now; it may have one later."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where URLs from outside may point; made by `rule`.

    `hosts`: `push.example.com` allows that host, `.example.com` every host below it.
    `origins`: services of the operator (`https://127.0.0.1:9443`), free from the checks of host, port and address.
    """

    hosts: frozenset[str]
    origins: frozenset[str]


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed `check`, spelled so that no two parsers read it differently."""

    url: str = field(repr=False)
    origin: str
    """`https://host`, with the port where it is not 443: also the audience of a VAPID token."""
    host: str
    own: bool
    """One of the operator's own origins: neither resolved nor pinned here."""


def rule(config: Mapping[str, Any], hosts: Iterable[str]) -> Rule:
    """The given hosts and what a credential's settings add: `allowed_hosts` and `allow_origins`.

    Each is a list, or text with commas. `ConfigError` for an entry that could never match or would match too much.
    """
    return Rule(
        hosts=frozenset(map(_allowed_host, [*hosts, *_listed(config.get("allowed_hosts"))])),
        origins=frozenset(map(_own_origin, _listed(config.get("allow_origins")))),
    )


def check(url: str, allowed: Rule) -> Target:
    """All that can be said without asking the network. Raises `Refused`."""
    parts = _split(url)
    host, port = _host(parts), _port(parts)
    origin = _origin(host, port)
    own = origin in allowed.origins
    if not own and port != HTTPS_PORT:
        raise Refused("the URL must use port 443")
    if not own and _is_ip_address(host):
        raise Refused("the URL must name a host, not an IP address")
    if not own and not _is_allowed(host, allowed.hosts):
        raise Refused("the host of the URL is not on the allowlist")
    query = f"?{parts.query}" if parts.query else ""
    return Target(url=f"{origin}{parts.path or '/'}{query}", origin=origin, host=host, own=own)


def lookup(host: str) -> list[str]:
    """The addresses of a name, best first. Raises `Unresolved`. Blocks."""
    try:
        answers = socket.getaddrinfo(host, HTTPS_PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unresolved("the host could not be resolved") from None
    return [str(answer[4][0]) for answer in answers]


def resolve(host: str, ask: Callable[[str], list[str]] = lookup) -> list[str]:
    """The addresses of a host, all public; a single other one refuses it: no honest push service has any."""
    addresses = ask(host)
    if not addresses:
        raise Unresolved("the host could not be resolved")
    if not all(map(is_public, addresses)):
        raise Refused("the host of the URL has an address that is not public")
    return addresses


def admit(target: Target, ask: Callable[[str], list[str]] = lookup) -> None:
    """The rest of the check at registration. Raises `Refused` if the host has an address that is not public.

    A name that cannot be resolved today passes, since each send asks again. Blocks.
    """
    if not target.own:
        with contextlib.suppress(Unresolved):
            resolve(target.host, ask)


def is_public(address: str) -> bool:
    """Whether an IP address is plain unicast of the public internet. Anything else is not, also what is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in SPECIAL_IPV4)
    return ip in PUBLIC_IPV6 and not any(ip in network for network in SPECIAL_IPV6)


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARS:
        raise Refused(f"the URL must have at most {MAX_URL_CHARS} characters")
    if not URL_CHARS.fullmatch(url):
        raise Refused("the URL has a character that a URL cannot have")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refused("the URL cannot be read") from None
    if parts.scheme != "https":
        raise Refused("the URL must begin with https://")
    if "@" in parts.netloc:
        raise Refused("the URL must not have a user name")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not (_is_ip_address(host) or (len(host) <= MAX_HOST_CHARS and all(map(LABEL.fullmatch, host.split("."))))):
        raise Refused("the URL names no valid host")
    return host


def _port(parts: SplitResult) -> int:
    try:
        return HTTPS_PORT if parts.port is None else parts.port
    except ValueError:
        raise Refused("the URL has no valid port") from None


def _origin(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}" if port == HTTPS_PORT else f"https://{name}:{port}"


def _is_ip_address(host: str) -> bool:
    """Also the spellings that some resolvers read as one: `127.1`, `2130706433`, `0x7f.1`."""
    last = host.rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")


def _is_allowed(host: str, hosts: frozenset[str]) -> bool:
    labels = host.split(".")
    return host in hosts or any("." + ".".join(labels[start:]) in hosts for start in range(1, len(labels)))


def _listed(value: Any) -> list[str]:
    entries = value.split(",") if isinstance(value, str) else value or ()
    return [str(entry).strip() for entry in entries if str(entry).strip()]


def _allowed_host(entry: str) -> str:
    host = entry.lower()
    labels = host.removeprefix(".").split(".")
    if len(labels) < 2 or not all(map(LABEL.fullmatch, labels)) or _is_ip_address(host):
        raise ConfigError(f"allowed_hosts: {entry!r} must be a host (push.example.com) or all below one (.example.com)")
    return host


def _own_origin(entry: str) -> str:
    try:
        parts = _split(entry)
        if parts.path.strip("/") or parts.query:
            raise Refused("the origin has a path")
        return _origin(_host(parts), _port(parts))
    except Refused:
        raise ConfigError(f"allow_origins: {entry!r} must look like https://127.0.0.1:9443") from None
