"""The socket of a service: TLS, the choice of HTTP version, and the connections that are open."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from simulator.services.http1 import Http1Connection
from simulator.services.http2 import Http2Connection
from simulator.services.tls import TlsFiles
from simulator.services.wire import Connection, Exchange

CLOSE_STEPS = 100
CLOSE_STEP_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy:
    """How many requests may be in flight on an HTTP/2 connection: before it took a message (`cold`), and after."""

    cold: int = 100
    warm: int = 100
    go_away_reason: bytes = b""
    """The JSON that a GOAWAY carries."""


class Front(asyncio.Protocol):
    """Lives from the TLS handshake until it knows which version of HTTP the client chose."""

    def __init__(self, choose: Callable[[str | None], Connection | None]) -> None:
        self._choose = choose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's transports are none of asyncio's classes
        connection = self._choose(stream.get_extra_info("ssl_object").selected_alpn_protocol())
        if connection is None:
            stream.abort()
        else:
            stream.set_protocol(connection)
            connection.connection_made(stream)


class Listening:
    """Listens on 127.0.0.1. `port` 0 becomes the port that was free; it stays the same over an outage."""

    def __init__(
        self, port: int, protocols: tuple[str, ...], streams: StreamPolicy, received: Callable[[Exchange], None]
    ) -> None:
        self.port = port
        self.opened = 0
        """How many connections were ever opened."""
        self.connections: set[Connection] = set()
        self._protocols = protocols
        self._streams = streams
        self._received = received
        self._stream_limit: int | None = None
        self._refused_streams = 0
        self._server: asyncio.Server | None = None

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self, files: TlsFiles) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Front(self._choose), "127.0.0.1", self.port, ssl=files.server_context(self._protocols), backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuse new connections and cut those that are open."""
        if self._server:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.reset()

    async def closed(self) -> None:
        """Wait until the connections that were cut are gone."""
        for _ in range(CLOSE_STEPS):
            if not self.connections:
                return
            await asyncio.sleep(CLOSE_STEP_S)

    def limit_streams(self, limit: int | None) -> None:
        """Allow at most so many on each connection; None is as the policy says."""
        self._stream_limit = limit
        for connection in tuple(self.connections):
            connection.allow_streams(self._limit(warm=connection.warm))

    def warmed(self, connection: Connection) -> None:
        """A message was taken on this connection."""
        if not connection.warm:
            connection.warm = True
            connection.allow_streams(self._limit(warm=True))

    @property
    def refused_streams(self) -> int:
        """How many streams were refused because too many were open."""
        return self._refused_streams + sum(each.refused_streams for each in self.connections)

    def _limit(self, *, warm: bool) -> int:
        limit = self._streams.warm if warm else self._streams.cold
        return min(limit, self._stream_limit or limit)

    def _choose(self, protocol: str | None) -> Connection | None:
        """None for a client that speaks nothing which this service speaks."""
        self.opened += 1
        connection: Connection
        if protocol is None and "http/1.1" not in self._protocols:
            return None
        if protocol == "h2":
            reason = self._streams.go_away_reason
            connection = Http2Connection(self._received, self._lost, self._limit(warm=False), reason)
        else:
            connection = Http1Connection(self._received, self._lost)
        self.connections.add(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._refused_streams += connection.refused_streams
