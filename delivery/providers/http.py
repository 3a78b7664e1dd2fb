"""The shared transport: one POST out, one bounded answer back. The only file that knows the HTTP library.

Learned from pyreqwest 0.15, and held by the tests:
- A request that asyncio cancels goes on inside the library, so each one also carries the library's own timeout.
- `ConnectError` and `ConnectTimeoutError` are raised after the connect phase too; only the cause
  `client error (Connect)` proves that nothing was sent.
- What an HTTP/2 peer refuses unprocessed (REFUSED_STREAM, GOAWAY) the library resends by itself, at most twice.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DecodeError, PyreqwestError

from delivery import crash_points

MAX_RETRY_AFTER_S = 3600.0

_NEVER_CONNECTED = "client error (Connect)"
_REFUSED = (
    "refused stream before processing any application logic",
    "connection error received: not a result of an error",
)
"""REFUSED_STREAM, and GOAWAY with NO_ERROR, which the library gives only to streams past the last one taken."""
_MAX_REFUSALS = 3
_WAIT_SHARE = 0.9
"""Of the deadline, for a place in the window: what is let in later could only be cut off half-way."""
_CONNECT_WORDS = (
    ("dns error", "the host name does not resolve"),
    ("peer certificate", "the other side's certificate is not trusted"),
    ("tcp connect error", "the connection was refused or the host is unreachable"),
    ("operation timed out", "no connection within the deadline"),
)
_IDLE_HTTP1_S = 60.0
_IDLE_HTTP2_S = 3600.0
_SILENCE_S = 60.0
"""After this long without an answer the peer may have closed the connection, so the next request warms up a new one."""
_PING_EVERY_S = 4.0
_PING_ANSWER_S = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said. Header names are lower-case; of a repeated header the first value counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False


class NoAnswer(Exception):
    """Unknown outcome: no complete answer came, so the other side may or may not have acted on the request.

    `detail` is in our own words, without URL or address. `sent` is False only when provably nothing was processed.
    """

    def __init__(self, detail: str, *, sent: bool = True) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent


class _Refused(NoAnswer):
    """An HTTP/2 peer did not look at the stream: a burst on a new connection, or a connection that it is closing."""


class Http:
    """One client for one credential. Lives on the event loop of its first `post`, from batch to batch.

    No redirects, no decompression, no proxy from the environment. `deadline_s` covers everything from the call of
    `post` to the last byte of the answer, also the wait for a place among the `window` requests in flight. With `http2`
    all requests share one connection over TLS, warmed up by one request alone (see `_Window`). `ca_file` (PEM) adds to
    the system's roots and is read at once: `OSError` or `ValueError`. `resolve` pins host names to IP addresses.
    """

    def __init__(
        self,
        *,
        http2: bool = False,
        ca_file: str | None = None,
        window: int = 100,
        deadline_s: float = 10.0,
        max_answer_bytes: int = 65536,
        resolve: Mapping[str, str] | None = None,
    ) -> None:
        self._http2 = http2
        self._ca_pem = _certificates(ca_file) if ca_file else b""
        self._deadline_s = deadline_s
        self._max_answer_bytes = max_answer_bytes
        self._resolve = resolve or {}
        self._window = _Window(window, warms_up=http2)
        self._client: Client | None = None

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer:
        """One try. Raises `NoAnswer`, and nothing else, when no complete answer came within the deadline.

        A stream that an HTTP/2 peer refused unprocessed was no try yet: it goes back through the window.
        """
        ends_at = monotonic() + self._deadline_s
        for _ in range(_MAX_REFUSALS):
            with suppress(_Refused):
                return await self._post_once(url, content, headers, ends_at)
        return await self._post_once(url, content, headers, ends_at)

    async def _post_once(self, url: str, content: bytes, headers: Mapping[str, str], ends_at: float) -> Answer:
        try:
            era = await self._window.enter(ends_at - monotonic() - (1 - _WAIT_SHARE) * self._deadline_s)
        except TimeoutError:
            raise NoAnswer("no place in the window came free within the deadline", sent=False) from None
        answered = False
        try:
            answer = await self._exchange(url, content, headers, ends_at - monotonic())
            answered = True
            return answer
        finally:
            self._window.leave(era, answered=answered)

    async def aclose(self) -> None:
        """Close the connections; requests in flight end as `NoAnswer`. A later `post` opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _exchange(self, url: str, content: bytes, headers: Mapping[str, str], left_s: float) -> Answer:
        try:
            request = (
                self._opened()
                .post(url)
                .headers(headers)
                .body_bytes(content)
                .timeout(timedelta(seconds=max(left_s, 0.001)))
            ).build_streamed()
            async with request as response:
                crash_points.passing("after_request")
                body = bytes(await response.body_reader.read(self._max_answer_bytes + 1) or b"")
                return Answer(
                    status=response.status,
                    headers=dict(response.headers),
                    body=body[: self._max_answer_bytes],
                    truncated=len(body) > self._max_answer_bytes,
                )
        except (PyreqwestError, ValueError, TimeoutError) as error:
            raise _no_answer(error) from None

    def _opened(self) -> Client:
        if self._client is None:
            self._client = self._build()
        return self._client

    def _build(self) -> Client:
        builder = (
            ClientBuilder()
            .follow_redirects(False)
            .no_proxy()
            .referer(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .user_agent("homepot-delivery")
            .connect_timeout(timedelta(seconds=self._deadline_s / 2))
        )
        if self._http2:
            builder = (
                builder.http2_prior_knowledge()
                .pool_idle_timeout(timedelta(seconds=_IDLE_HTTP2_S))
                .http2_keep_alive_interval(timedelta(seconds=_PING_EVERY_S))
                .http2_keep_alive_timeout(timedelta(seconds=_PING_ANSWER_S))
            )
        else:
            builder = builder.http1_only().pool_idle_timeout(timedelta(seconds=_IDLE_HTTP1_S))
        if self._ca_pem:
            builder = builder.add_root_certificate_pem(self._ca_pem)
        for host, address in self._resolve.items():
            builder = builder.resolve(host, address, 0)
        return builder.build()


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait that `Retry-After` asks for, as seconds or HTTP-date, within 0..3600; None when absent or garbage.

    `now` is aware. A date that has passed is 0: try at once.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _certificates(ca_file: str) -> bytes:
    pem = Path(ca_file).read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise ValueError(f"{ca_file} holds no PEM certificate")
    return pem


class _Window:
    """At most `size` requests in flight; on a connection that has not answered yet, one.

    A push service allows a new HTTP/2 connection a single stream until a first good request was answered, and refuses
    a burst past that. So with `warms_up` one request goes alone, and its answer opens the window. A request without
    an answer closes it again, because the next one may travel on a new connection; those still in flight do not hold
    it up.
    """

    def __init__(self, size: int, *, warms_up: bool) -> None:
        self._size = size
        self._warms_up = warms_up
        self._open = not warms_up
        self._warming = False
        self._era = 0
        """Goes up when the window closes, so that what started before neither opens nor closes it."""
        self._in_flight = 0
        self._last_answer_at = 0.0
        self._waiting: deque[asyncio.Future[int]] = deque()

    async def enter(self, wait_s: float) -> int:
        """Wait for a place, first come first served; returns what `leave` wants back. `TimeoutError` after `wait_s`."""
        if self._open and self._warms_up and monotonic() - self._last_answer_at > _SILENCE_S:
            self._close()
        if self._has_place():
            return self._take()
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(wait_s):
                return await turn
        except (TimeoutError, asyncio.CancelledError):
            if turn.done() and not turn.cancelled():
                self.leave(turn.result(), answered=False)
            raise

    def leave(self, era: int, *, answered: bool) -> None:
        self._in_flight -= 1
        if answered:
            self._last_answer_at = monotonic()
        if self._warms_up and era == self._era:
            self._warming = False
            if answered:
                self._open = True
            elif self._open:
                self._close()
        self._let_in()

    def _close(self) -> None:
        self._open = False
        self._era += 1

    def _has_place(self) -> bool:
        return self._in_flight < self._size and (self._open or not self._warming)

    def _take(self) -> int:
        self._in_flight += 1
        self._warming = not self._open
        return self._era

    def _let_in(self) -> None:
        """Whoever is let in has the place from this moment, before its task runs, so that nobody overtakes."""
        while self._waiting and self._has_place():
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._take())


def _no_answer(error: Exception) -> NoAnswer:
    """Our own words for what went wrong: the library's may quote the URL."""
    causes = " ".join(cause["message"] for cause in getattr(error, "details", {}).get("causes") or ())
    if _NEVER_CONNECTED in causes:
        return NoAnswer(
            next((ours for theirs, ours in _CONNECT_WORDS if theirs in causes), "could not connect"), sent=False
        )
    if any(words in causes for words in _REFUSED):
        return _Refused("the other side refused the stream", sent=False)
    if isinstance(error, TimeoutError):
        return NoAnswer("no complete answer within the deadline")
    if isinstance(error, DecodeError):
        return NoAnswer("the answer was not HTTP, or broke off")
    if isinstance(error, ValueError):
        return NoAnswer("not a request that HTTP can carry", sent=False)
    return NoAnswer("the connection was lost before a complete answer")
