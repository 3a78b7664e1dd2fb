"""One MQTT connection on the running event loop, from CONNECT until it is lost: paho's protocol, no thread, no queue.

A connection that is gone never comes back: whoever needs one opens the next, so that nothing of an old one is sent
again behind the pipeline's back.
"""

import asyncio
import math
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from delivery import crash_points
from delivery.providers.base import ConfigError

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 20
TICK_S = 1.0
"""How often the keepalive is looked at: a broker that went silent is given up after two keepalives."""

QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux only, and forgotten by the kernel, so set after each read: a broker that waits for our TCP ACK before its next
small packet (Mosquitto without `set_tcp_nodelay`) would wait 40 ms for each window."""


class Refused(Exception):
    """The broker answered the CONNECT with a reason code other than success."""

    def __init__(self, reason: ReasonCode) -> None:
        super().__init__(reason.getName())
        self.reason = reason


class Closed(ConnectionError):
    """The connection ended; what was waiting for an answer will not get one."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how to prove who we are."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None
    ca_file: str | None

    @classmethod
    def from_url(cls, url: str, ca_file: str | None = None) -> Self:
        """Read `mqtt://user:password@host:port` or `mqtts://...`; `ConfigError` never quotes the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
            (parts.hostname or "").encode("idna")
        except ValueError:
            raise ConfigError("MQTT_URL: its host or port cannot be read") from None
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ConfigError("MQTT_URL must look like mqtt://user:password@host:1883 or mqtts://host:8883")
        if parts.path.strip("/") or parts.query:
            raise ConfigError("MQTT_URL ends after the port: no path and no query")
        tls = parts.scheme == "mqtts"
        try:
            ssl.create_default_context(cafile=ca_file or None)
        except OSError:
            raise ConfigError("MQTT_CA_FILE is not a readable file of PEM certificates") from None
        return cls(
            host=parts.hostname,
            port=port or (8883 if tls else 1883),
            tls=tls,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            ca_file=ca_file or None,
        )

    def client(self, client_id: str, protocol: MQTTProtocolVersion, **options: Any) -> Client:
        """A paho client that is not connected yet; `options` go to its constructor."""
        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, **options)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self.username is not None:
            client.username_pw_set(self.username, self.password)
        if self.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self.ca_file))
        return client


class Link:
    """One connection. Lives on the loop that opened it; only `drop` may be called from elsewhere."""

    def __init__(self, client: Client, window: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._socket: socket.socket | None = None
        self._window_size = window
        self._window = asyncio.Semaphore(window)
        self._waiting: dict[int, asyncio.Future[ReasonCode]] = {}
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.max_packet_bytes = math.inf

    @classmethod
    async def open(cls, broker: Broker, client_id: str, protocol: MQTTProtocolVersion, window: int) -> Self:
        """Connect; `Refused` by the broker, `Closed` before it answered, or `OSError` (also `TimeoutError`)."""
        client = broker.client(client_id, protocol, reconnect_on_failure=False)
        client.max_inflight_messages_set(0)  # the window bounds it; paho's own walks all messages at each PUBACK
        link = cls(client, window)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.to_thread(client.connect, broker.host, broker.port, KEEPALIVE_S)
                link._attach()
                await link._connack
        except BaseException:
            link.close()
            raise
        return link

    async def publish(self, topic: str, payload: bytes, ttl_s: int) -> ReasonCode:
        """QoS 1: wait for a place in the window, publish, wait for the PUBACK; `Closed` if the connection ends first.

        The place is taken until the PUBACK came, also when the caller has given up: it counts what is on the wire.
        """
        await self._window.acquire()
        if self.lost.done():
            self._window.release()  # so that the next one in line learns it too
            raise Closed
        info = self._client.publish(topic, payload, qos=1, properties=expiry(ttl_s) if self._is_v5 else None)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._window.release()
            raise Closed
        answer: asyncio.Future[ReasonCode] = self._loop.create_future()
        self._waiting[info.mid] = answer
        return await answer

    async def until_lost(self) -> None:
        """Return when the connection is gone, keeping it alive meanwhile."""
        while not self.lost.done():
            self._client.loop_misc()
            await asyncio.wait([self.lost], timeout=TICK_S)

    def close(self) -> None:
        """Say goodbye as far as the socket takes it at once, and fail what still waits."""
        self._connack.cancel()
        self._client.disconnect()
        self._client.loop_write()
        self._detach()
        self.drop()
        self._on_lost()

    def drop(self) -> None:
        """Close the socket and nothing else: for a connection whose loop has ended."""
        if self._socket is not None:
            self._socket.close()

    @property
    def _is_v5(self) -> bool:
        return self._client.protocol == MQTTProtocolVersion.MQTTv5

    def _attach(self) -> None:
        opened = self._client.socket()
        if not isinstance(opened, socket.socket):
            raise Closed
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = opened
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._on_lost()
        self._client.on_publish = self._on_publish
        self._client.on_socket_close = lambda *_: self._detach()
        self._client.on_socket_register_write = lambda *_: self._want_write(True)
        self._client.on_socket_unregister_write = lambda *_: self._want_write(False)
        self._loop.add_reader(opened.fileno(), self._read)

    def _detach(self) -> None:
        if self._socket is not None and (descriptor := self._socket.fileno()) >= 0:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)

    def _want_write(self, wanted: bool) -> None:
        if self._socket is None or (descriptor := self._socket.fileno()) < 0:
            return
        if wanted:
            self._loop.add_writer(descriptor, self._client.loop_write)
        else:
            self._loop.remove_writer(descriptor)
            crash_points.passing("after_request")

    def _read(self) -> None:
        self._client.loop_read()
        sock = self._socket
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():
            self._client.loop_read()  # decrypted already, so the loop would not wake for it
        if sock is not None and sock.fileno() >= 0 and QUICK_ACK is not None:
            sock.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._connack.done():
            return
        if reason.is_failure:
            self._connack.set_exception(Refused(reason))
            return
        receive_maximum = getattr(properties, "ReceiveMaximum", self._window_size)
        if receive_maximum < self._window_size:
            self._window = asyncio.Semaphore(receive_maximum)
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", math.inf)
        self._connack.set_result(None)

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties) -> None:
        answer = self._waiting.pop(mid)
        self._window.release()
        if not answer.done():
            answer.set_result(reason)

    def _on_lost(self) -> None:
        if self.lost.done():
            return
        self.lost.set_result(None)
        if not self._connack.done():
            self._connack.set_exception(Closed())
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Closed())
        self._waiting.clear()
        self._window.release()


@lru_cache(maxsize=4096)
def expiry(ttl_s: int) -> Properties:
    """The v5 property that lets the broker drop a message whose time is over. Shared: paho only reads it."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = ttl_s
    return properties
