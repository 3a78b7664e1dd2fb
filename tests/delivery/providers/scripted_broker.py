"""An MQTT broker that answers what a test tells it to: codes and silences that no real broker gives on demand."""

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from types import TracebackType
from typing import Self

CONNACK, PUBACK, PINGRESP = 2, 4, 13
V311, V5 = 4, 5


@dataclass(frozen=True)
class Published:
    """A PUBLISH as it came in; `expiry_s` is its v5 Message Expiry Interval, where it has one."""

    topic: str
    payload: bytes
    qos: int
    dup: bool
    expiry_s: int | None


class ScriptedBroker:
    """Listens on a port that the kernel picked, from `with` to its end; every connection gets the same script."""

    def __init__(
        self,
        *,
        connack: int | None = 0,
        puback: Callable[[Published], int | None] = lambda _: 0,
        versions: tuple[int, ...] = (V311, V5),
        on_other_versions: str = "refuses",
        receive_maximum: int | None = None,
        maximum_packet_bytes: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`connack` and `puback` give a reason code; None leaves the other side without an answer.

        `on_other_versions`: refuses, hangs up, or is silent.
        """
        self.published: list[Published] = []
        self.connects: list[int] = []
        """The protocol version of each CONNECT."""
        self.most_unanswered = 0
        self._connack, self._puback, self._versions = connack, puback, versions
        self._tls = tls
        self._on_other_versions = on_other_versions
        self._properties = b""
        if receive_maximum is not None:
            self._properties += struct.pack("!BH", 0x21, receive_maximum)
        if maximum_packet_bytes is not None:
            self._properties += struct.pack("!BI", 0x27, maximum_packet_bytes)
        self._unanswered = 0
        self._lock = Lock()
        self._connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"{'mqtts' if self._tls else 'mqtt'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Cut every connection, as a broker does that is killed."""
        for connection in self._connections:
            with suppress(OSError):  # gone already
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        version = V311
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                return  # the client did not trust us
        with connection, connection.makefile("rb") as stream:
            try:
                while head := stream.read(1):
                    body = stream.read(_length(stream.read))
                    match head[0] >> 4:
                        case 1:  # CONNECT
                            version = body[6]
                            if not self._greet(connection, version):
                                return
                        case 3:  # PUBLISH
                            self._take(connection, head[0], body, version)
                        case 12:  # PINGREQ
                            connection.sendall(bytes([PINGRESP << 4, 0]))
                        case _:  # DISCONNECT
                            return
            except OSError:
                return

    def _greet(self, connection: socket.socket, version: int) -> bool:
        self.connects.append(version)
        if version not in self._versions:
            if self._on_other_versions == "refuses":
                connection.sendall(bytes([CONNACK << 4, 2, 0, 1]))  # how a 3.1.1 broker refuses
            return self._on_other_versions == "is silent"
        if self._connack is None:
            return True
        properties = bytes([len(self._properties)]) + self._properties if version == V5 else b""
        connection.sendall(bytes([CONNACK << 4, 2 + len(properties), 0, self._connack]) + properties)
        return self._connack == 0

    def _take(self, connection: socket.socket, head: int, body: bytes, version: int) -> None:
        (topic_bytes,) = struct.unpack_from("!H", body)
        topic, rest = body[2 : 2 + topic_bytes].decode(), body[2 + topic_bytes :]
        qos = (head >> 1) & 3
        packet_id, rest = (rest[:2], rest[2:]) if qos else (b"", rest)
        expiry_s = None
        if version == V5:
            properties, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
            if properties[:1] == b"\x02":
                (expiry_s,) = struct.unpack("!I", properties[1:5])
        message = Published(topic, rest, qos, bool(head & 8), expiry_s)
        with self._lock:
            self.published.append(message)
            self._unanswered += 1
            self.most_unanswered = max(self.most_unanswered, self._unanswered)
        code = self._puback(message)
        if code is None or not qos:
            return
        with self._lock:
            self._unanswered -= 1
        reason = bytes([code]) if code and version == V5 else b""
        connection.sendall(bytes([PUBACK << 4, 2 + len(reason)]) + packet_id + reason)


def _length(read: Callable[[int], bytes]) -> int:
    """The variable-length integer after a packet's first byte."""
    total, shift = 0, 0
    while True:
        byte = read(1)[0]
        total |= (byte & 127) << shift
        if byte < 128:
            return total
        shift += 7
