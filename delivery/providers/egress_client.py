"""The way out for URLs from outside: posts only to what the egress rule allows, at the address that it checked.

A name is resolved once, here, and pinned in the client, so that a second answer of the DNS changes nothing. Redirects
are not followed (http.py).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from delivery.providers.base import ConfigError
from delivery.providers.egress import Target, Unresolved, resolve
from delivery.providers.http import Answer, Http, NoAnswer

LOOKUP_DEADLINE_S = 2.0
POST_SHARE = 0.8
"""Of the deadline; the rest is for the lookup before it."""
PIN_S = 300.0
"""How long an address is used before its name is resolved again."""
EXPIRED = 0.0
MAX_CLIENTS = 64
"""Hosts with an open client; beyond it, the one that was used longest ago is closed."""


class Egress:
    """Posts to targets: one client per host, pinned to a checked address and alive as long as the process.

    `ca_file` adds a PEM certificate to the system's roots. `deadline_s` is what the caller gives one message, a lookup
    included. `resolve` gives the checked addresses of a host; it may block, and runs on a thread.
    """

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        deadline_s: float = 10.0,
        resolve: Callable[[str], list[str]] = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca_file = ca_file
        self.deadline_s = deadline_s
        self._addresses = resolve
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._openings: dict[str, asyncio.Task[_Client]] = {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """With a credential's `ca_file` and `deadline_s`, if it has them; `ConfigError` where one cannot be used."""
        ca_file = config.get("ca_file") or None
        try:
            Http(ca_file=ca_file)
        except (OSError, ValueError) as error:
            raise ConfigError(f"ca_file cannot be used: {error}") from error
        try:
            deadline_s = float(config.get("deadline_s", 10.0))
        except ValueError as error:
            raise ConfigError(f"deadline_s cannot be used: {error}") from error
        return cls(ca_file=ca_file, deadline_s=deadline_s)

    async def post(self, target: Target, *, content: bytes, headers: Mapping[str, str]) -> Answer:
        """One try. Raises `Refused` before any connection is made, or `NoAnswer`."""
        client = await self._client(target)
        client.in_flight += 1
        try:
            return await client.http.post(target.url, content=content, headers=headers)
        except NoAnswer as failure:
            if not failure.sent:
                client.usable_until = EXPIRED
            raise
        finally:
            client.in_flight -= 1
            await self._close_if_retired(client)

    async def aclose(self) -> None:
        """Close the connections; requests in flight end as `NoAnswer`."""
        for opening in self._openings.values():
            opening.cancel()
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.http.aclose()

    async def _client(self, target: Target) -> "_Client":
        client = self._clients.get(target.origin)
        if client and client.usable_until > self._clock():
            self._clients.move_to_end(target.origin)
            return client
        opening = self._openings.get(target.origin)
        if opening is None:
            opening = asyncio.create_task(self._open(target))
            self._openings[target.origin] = opening
            opening.add_done_callback(lambda done: self._opened(target.origin, done))
        return await asyncio.shield(opening)

    def _opened(self, origin: str, opening: "asyncio.Task[_Client]") -> None:
        del self._openings[origin]
        if not opening.cancelled():
            opening.exception()  # whoever still waits gets it; asyncio need not complain when nobody does

    async def _open(self, target: Target) -> "_Client":
        """The client that is there, while its address is still one of the host's; else a new one."""
        addresses = [] if target.own else await self._resolve(target.host)
        old = self._clients.get(target.origin)
        usable_until = self._clock() + PIN_S
        if old and old.usable_until != EXPIRED and (target.own or old.address in addresses):
            old.usable_until = usable_until
            return old
        address = addresses[0] if addresses else ""
        pins = {target.host: address} if address else {}
        http = Http(ca_file=self._ca_file, deadline_s=POST_SHARE * self.deadline_s, resolve=pins)
        client = self._clients[target.origin] = _Client(http, address, usable_until)
        self._clients.move_to_end(target.origin)
        retired = [old] if old else []
        if len(self._clients) > MAX_CLIENTS:
            retired.append(self._clients.popitem(last=False)[1])
        for unused in retired:
            unused.retired = True
            await self._close_if_retired(unused)
        return client

    async def _resolve(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(LOOKUP_DEADLINE_S):
                return await asyncio.to_thread(self._addresses, host)
        except (Unresolved, TimeoutError):
            raise NoAnswer("the host could not be resolved", sent=False) from None

    @staticmethod
    async def _close_if_retired(client: "_Client") -> None:
        if client.retired and client.in_flight == 0:
            await client.http.aclose()


@dataclass(slots=True)
class _Client:
    http: Http
    address: str
    usable_until: float
    in_flight: int = 0
    retired: bool = False
