"""What an emulated service sees of HTTP: a request, an answer, and the exchange that joins them."""

import asyncio
import json
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger."""
MAX_REQUEST_BYTES = 2 << 20
"""What a connection buffers of one request before it gives up on its client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request. Header names are lower case; of a header sent twice the last value counts (see `repeated`)."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    repeated: frozenset[str] = frozenset()

    def form(self) -> Any:
        """The body as JSON, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`body` is sent `times` times over; with `pause_s` it goes out byte by byte, so long apart."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    times: int = 1
    pause_s: float = 0.0

    @property
    def length_bytes(self) -> int:
        return len(self.body) * self.times

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        return Answer(
            status=self.status,
            headers={**self.headers, **headers},
            body=self.body,
            times=self.times,
            pause_s=self.pause_s,
        )

    def dripping(self, pause_s: float) -> "Answer":
        return Answer(status=self.status, headers=self.headers, body=self.body or b" " * 64, pause_s=pause_s)


def named(content: Any) -> str:
    """The `message_id` at the top of a payload, empty without one."""
    message_id = content.get("message_id") if isinstance(content, dict) else None
    return message_id if isinstance(message_id, str) else ""


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(
        status=status,
        headers={"content-type": "application/json; charset=UTF-8", **(headers or {})},
        body=json.dumps(content, separators=(",", ":")).encode(),
    )


class Exchange(ABC):
    """One request that waits for its answer. Answering one whose client has left does nothing."""

    __slots__ = ("connection", "request")

    def __init__(self, connection: "Connection", request: Request) -> None:
        self.connection = connection
        self.request = request

    @abstractmethod
    def answer(self, answer: Answer) -> None: ...


class Connection(asyncio.Protocol):
    """One client's connection. What a fault does to it is the same over both versions of HTTP."""

    transport: asyncio.Transport

    def __init__(self, received: Callable[[Exchange], None], lost: Callable[["Connection"], None]) -> None:
        self.requests = 0
        self.warm = False
        """A message was taken on this connection."""
        self.refused_streams = 0
        """Streams above the limit, each refused alone."""
        self.received = received
        self._lost = lost
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def reset(self) -> None:
        """Cut the connection by a TCP reset; what was not yet sent is lost."""
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()

    @abstractmethod
    def go_away(self) -> None:
        """Say that no further request is taken here, finish those begun, close."""

    @abstractmethod
    def allow_streams(self, limit: int) -> None:
        """Announce how many requests may be in flight. HTTP/1.1 knows only one and ignores it."""
