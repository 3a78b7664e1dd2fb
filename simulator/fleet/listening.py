"""The devices' ears: MQTT connections, of one device each or shared by many, that come back by themselves.

MQTT 3.1.1 with a persistent session at QoS 1: every broker speaks it, and what came while a device was away is kept.
"""

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt

from simulator.fleet.device import Device
from simulator.fleet.server import backoff_s

log = logging.getLogger(__name__)

TOPICS_PER_PACKET = 200
REFUSED = 0x80
"""What a SUBACK says of a topic that the broker keeps from this user."""
QUEUED_CALLS = 1_000_000
"""aiomqtt warns from 10 waiting calls on, which is little for a connection that many devices share."""


@dataclass(frozen=True, slots=True)
class Broker:
    host: str
    port: int
    user: str | None
    password: str | None
    tls: ssl.SSLContext | None

    @classmethod
    def from_url(cls, url: str, ca_file: str = "") -> "Broker":
        """`mqtt://user:password@host:port` or `mqtts://...`, then checked with `ca_file` or the system's."""
        parts = urlsplit(url)
        secure = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or (8883 if secure else 1883),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=ssl.create_default_context(cafile=ca_file or None) if secure else None,
        )


OnMessage = Callable[[Device, str, object], None]
"""Takes a device, the last word of its topic (`notifications` or `done`) and the payload."""

OnOpen = Callable[[Sequence[Device], bool], None]
"""Told after every connect which devices can be reached now, and whether they were before."""


class Connection:
    """One session at the broker for one device or many.

    All its devices are known before it connects: what the broker kept for a session comes at once.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        devices: Sequence[Device],
        gate: asyncio.Semaphore,
        rng: Random,
        *,
        on_message: OnMessage,
        on_open: OnOpen,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._devices = {device.identity.device_id: device for device in devices}
        self._gate = gate
        self._rng = rng
        self._on_message = on_message
        self._on_open = on_open
        self._client: aiomqtt.Client | None = None
        self._was_open = False
        self._may_be_open = asyncio.Event()
        self._may_be_open.set()

    @property
    def open(self) -> bool:
        return self._client is not None

    async def publish(self, topic: str, payload: bytes) -> bool:
        """True once the broker has it."""
        if self._client is None:
            return False
        try:
            await self._client.publish(topic, payload, qos=1)
        except aiomqtt.MqttError:
            return False
        return True

    async def pause(self) -> None:
        """Leave the broker, which keeps what comes, until `resume`."""
        self._may_be_open.clear()
        if self._client is not None:
            await leave(self._client)

    def resume(self) -> None:
        self._may_be_open.set()

    async def run(self) -> None:
        """Connect, listen, and connect again whenever that ends."""
        tries = 0
        while True:
            await self._may_be_open.wait()
            tries += 1
            client = self._new_client()  # a fresh one each time: aiomqtt takes a used one for connected too early
            try:
                async with self._gate:
                    await client.__aenter__()
                tries = 0
                try:
                    await self._listen(client)
                finally:
                    self._client = None
                    await leave(client)
            except aiomqtt.MqttError as error:
                log.debug("MQTT connection of %s: %s", self._client_id, error)
            await asyncio.sleep(backoff_s(tries + 1, self._rng))

    def _new_client(self) -> aiomqtt.Client:
        client = aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.user,
            password=self._broker.password,
            tls_context=self._broker.tls,
            identifier=self._client_id,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=False,
        )
        client.pending_calls_threshold = QUEUED_CALLS
        return client

    async def _listen(self, client: aiomqtt.Client) -> None:
        await self._subscribe(client)
        self._client = client
        self._on_open(list(self._devices.values()), self._was_open)
        self._was_open = True
        async for message in client.messages:
            self._take(message)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        """Again at every connect: a broker may have forgotten the session."""
        topics = [(topic, 1) for device in self._devices.values() for topic in topics_of(device)]
        for start in range(0, len(topics), TOPICS_PER_PACKET):
            if REFUSED in await client.subscribe(topics[start : start + TOPICS_PER_PACKET]):
                log.warning("the MQTT broker refuses a device's topics: check its ACL")

    def _take(self, message: aiomqtt.Message) -> None:
        _, device_id, *_, last = message.topic.value.split("/")
        device = self._devices.get(device_id)
        if device is not None:
            self._on_message(device, last, message.payload)


async def leave(client: aiomqtt.Client) -> None:
    """Say goodbye. A connection that breaks over it is as good as closed."""
    try:
        await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, OSError) as error:
        log.debug("leaving the broker: %s", error)


def forgive_closed_sockets(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop's exception handler. A disconnecting aiomqtt may ask to watch a socket that it has just closed."""
    error = context.get("exception")
    if not (isinstance(error, OSError) and error.errno == errno.EBADF):
        loop.default_exception_handler(context)


def topics_of(device: Device) -> list[str]:
    own = f"devices/{device.identity.device_id}"
    return [f"{own}/notifications", f"{own}/acks/done"] if device.acks_over_mqtt else [f"{own}/notifications"]
