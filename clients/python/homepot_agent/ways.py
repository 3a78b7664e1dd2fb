"""By which way messages reach the device: a push service where it gives an address, else MQTT, else the inbox alone.

The push services are asked again and again. As soon as one gives an address the device goes over to it and lets the
broker go; when it no longer gives one, or its messages turn up in the inbox instead, the broker is back.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from homepot_agent import wire
from homepot_agent.backoff import Backoff
from homepot_agent.link import Link
from homepot_agent.server import Answer, Server
from homepot_agent.wire import Address

log = logging.getLogger(__name__)

ASK_S = 30.0
CHECK_S = 600.0
"""Whether the address is still the same."""
FIRST_RETRY_S = 60.0
MAX_RETRY_S = 3_600.0
MISSED_TO_DISTRUST = 3


class TokenSource(Protocol):
    """The platform's push service, as the host program knows it."""

    def address(self) -> Address | None:
        """What the service knows this device by. None, or any exception: it gives no address now."""


class Ways:
    """`step` from one thread; `missed` and `arrived` from any.

    `on_change` is told of each way that begins to work: what was ordered before it did waits in the inbox.
    """

    def __init__(
        self, server: Server, sources: Sequence[TokenSource], link: Link | None, on_change: Callable[[], None]
    ) -> None:
        self._server = server
        self._sources = sources
        self._link = link
        self._on_change = on_change
        self.backoff = Backoff()
        self._retry = Backoff(FIRST_RETRY_S, MAX_RETRY_S)
        self._registered: dict[str, tuple[str, int]] = {}
        self._asking: dict[TokenSource, threading.Thread] = {}
        self._missed = 0
        self.way = "inbox"
        """`fcm`, `apns`, `wns`, `mqtt` or `inbox`."""

    @property
    def wakes(self) -> bool:
        """Whether something wakes the device now; else it has to look by itself."""
        _, rank = self._registered.get(self.way, ("", 1))
        if rank:  # the server has not heard of it yet
            return False
        return self.way != "mqtt" or (self._link is not None and self._link.open)

    def step(self) -> float:
        address = self._address()
        if address is not None and self._trusted():
            answer = self._register(address.provider, address.token, 0, environment=address.environment)
            if answer is None or answer.ok:
                self._go_over_to_push(address)
                return CHECK_S
            if answer.later:
                return self.backoff.failed(answer.retry_after_s)
            log.warning("the server refuses the %s address: %s", address.provider, answer.text)
        return self._go_over_to_mqtt(address)

    def forget(self, provider: str) -> None:
        """The server is told this provider's address again, known to it or not."""
        self._registered.pop(provider, None)

    def missed(self, provider: str) -> bool:
        """A message that this way should have brought long ago was found in the inbox; whether that is one too many."""
        if provider != self.way:
            return False
        self._missed += 1
        if self._missed == MISSED_TO_DISTRUST:
            self._retry.failed()
        return self._missed == MISSED_TO_DISTRUST

    def arrived(self, provider: str) -> bool:
        """A message came by the push service itself; whether that restores a trust that was lost."""
        if provider == "mqtt":
            return False
        distrusted, self._missed = self._missed >= MISSED_TO_DISTRUST, 0
        self._retry.reset()
        return distrusted

    def _trusted(self) -> bool:
        """A push service that brought nothing gets another chance later, and each time later still."""
        if self._missed >= MISSED_TO_DISTRUST and not self._retry.left_s():
            self._missed = MISSED_TO_DISTRUST - 1
        return self._missed < MISSED_TO_DISTRUST

    def _go_over_to_push(self, address: Address) -> None:
        self.backoff.reset()
        if self._link is not None:
            self._link.stop()
            if "mqtt" in self._registered:
                self._register("mqtt", self._registered["mqtt"][0], 1)
        self._set(address.provider)

    def _go_over_to_mqtt(self, address: Address | None) -> float:
        """Also without a word from the server: the broker may be there when it is not."""
        if self._link is None:
            self._set("inbox")
            return self._next_asking_s()
        self._link.start()
        self._set("mqtt")
        answer = self._register("mqtt", self._server.key.device_id if self._server.key else "", 0)
        if answer is not None and answer.later:
            return self.backoff.failed(answer.retry_after_s)
        if answer is not None and not answer.ok:
            log.warning("the server refuses the MQTT channel: %s", answer.text)
        if address is not None and address.provider in self._registered:
            self._register(address.provider, address.token, 1, environment=address.environment)
        self.backoff.reset()
        return self._next_asking_s()

    def _next_asking_s(self) -> float:
        if not self._sources:
            return MAX_RETRY_S
        return self._retry.left_s() or self._retry.failed()

    def _register(self, provider: str, address: str, rank: int, *, environment: str = "") -> Answer | None:
        """Tell the server; None where it knows already."""
        if self._registered.get(provider) == (address, rank):
            return None
        key = self._server.key
        path = f"/devices/{key.device_id if key else ''}/channels/{provider}"
        body = wire.channel(address, rank, _capabilities(provider, address, rank), environment)
        answer = self._server.call("PUT", path, body)
        if answer.ok:
            self._registered[provider] = (address, rank)
            self._on_change()
        return answer

    def _address(self) -> Address | None:
        return next((address for source in self._sources if (address := self._ask(source)) is not None), None)

    def _ask(self, source: TokenSource) -> Address | None:
        """A service that never answers must not keep the device from MQTT, nor be asked twice at a time."""
        asking = self._asking.get(source)
        if asking is not None and asking.is_alive():
            return None
        said: list[Address | None] = []
        self._asking[source] = threading.Thread(target=lambda: said.append(_asked(source)), daemon=True)
        self._asking[source].start()
        self._asking[source].join(ASK_S)
        return said[0] if said else None

    def _set(self, way: str) -> None:
        if way != self.way:
            log.info("messages come by %s from now on", way)
            self.way = way
            self._on_change()


def _asked(source: TokenSource) -> Address | None:
    try:
        return source.address()
    except Exception as error:  # noqa: BLE001  (a platform's service may raise anything)
        log.info("no push address: %s", error or type(error).__name__)
        return None


def _capabilities(provider: str, address: str, rank: int) -> dict[str, object]:
    """What routing at the server goes by, besides ranks."""
    if provider == "fcm":
        return {"fcm_token": address, "has_gms": rank == 0}
    if provider == "mqtt":
        return {"mqtt_client_id": address, **({"has_gms": False} if rank == 0 else {})}
    return {}
