"""HTTP/1.1 for the emulated services, on httptools' parser: keep-alive, one request at a time, in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus

import httptools

from simulator.services.wire import MAX_REQUEST_BYTES, Answer, Connection, Exchange, Request

CHUNK_BYTES = 65536


class Http1Exchange(Exchange):
    __slots__ = ("keep_alive",)

    connection: "Http1Connection"

    def __init__(self, connection: "Http1Connection", request: Request, keep_alive: bool) -> None:
        super().__init__(connection, request)
        self.keep_alive = keep_alive

    def answer(self, answer: Answer) -> None:
        self.connection.send(self, answer)


class Http1Connection(Connection):
    """Requests that a client pipelines wait until the one before is answered."""

    def __init__(self, received: Callable[[Exchange], None], lost: Callable[[Connection], None]) -> None:
        super().__init__(received, lost)
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Http1Exchange] = deque()
        self._current: Http1Exchange | None = None
        self._trickle: asyncio.Task[None] | None = None
        self._leaving = False
        self._start_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._current = None
        self._waiting.clear()
        if self._trickle:
            self._trickle.cancel()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.close()
        except httptools.HttpParserError:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._start_request()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        if key in self._headers:
            self._repeated.add(key)
        self._headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_REQUEST_BYTES:
            self.reset()

    def on_message_complete(self) -> None:
        request = Request(
            method=self._parser.get_method().decode(),
            path=self._url.decode("latin-1"),
            headers=self._headers,
            body=bytes(self._body),
            repeated=frozenset(self._repeated),
        )
        self._waiting.append(Http1Exchange(self, request, self._parser.should_keep_alive()))
        self._next()

    def _start_request(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated: set[str] = set()
        self._body = bytearray()

    # Answering.

    def send(self, exchange: Http1Exchange, answer: Answer) -> None:
        if exchange is not self._current or self.transport.is_closing():
            return
        head = self._head(answer, keep_alive=exchange.keep_alive and not self._leaving)
        if answer.times == 1 and not answer.pause_s:
            self.transport.write(head + answer.body)
            self._answered(exchange)
        else:
            self.transport.write(head)
            self._trickle = asyncio.get_running_loop().create_task(self._send_slowly(exchange, answer))

    def _head(self, answer: Answer, *, keep_alive: bool) -> bytes:
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = "Status"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"content-length: {answer.length_bytes}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if not keep_alive:
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _send_slowly(self, exchange: Http1Exchange, answer: Answer) -> None:
        chunk_bytes = 1 if answer.pause_s else CHUNK_BYTES
        for _ in range(answer.times):
            for start in range(0, len(answer.body), chunk_bytes):
                await self._writable.wait()
                self.transport.write(answer.body[start : start + chunk_bytes])
                await asyncio.sleep(answer.pause_s)
        self._answered(exchange)

    def _answered(self, exchange: Http1Exchange) -> None:
        self._current = None
        if exchange.keep_alive and not self._leaving:
            self._next()
        else:
            self.transport.close()

    def _next(self) -> None:
        while self._waiting and self._current is None and not self.transport.is_closing():
            self._current = self._waiting.popleft()
            self.received(self._current)

    # What a fault does.

    def go_away(self) -> None:
        self._leaving = True
        if self._current is None:
            self.transport.close()

    def allow_streams(self, limit: int) -> None:
        return
