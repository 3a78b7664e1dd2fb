"""Which requests get in when there are more than can be served: acks before registrations before all else.

Django's views are synchronous. Left alone, each request would get a thread of its own the moment it comes, so that all
share the processor and the database, and all become slow together. Here a request waits until one of a fixed number of
threads is its own, the most urgent first. Who would wait too long is told so: 503 with Retry-After.

A thread keeps its database connection, so their number is also that of the process's connections. Bodies are read
before a request takes a thread, and answers are sent after it gave it back: a slow client holds up nobody.
"""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from enum import IntEnum

from asgiref.sync import ThreadSensitiveContext
from prometheus_client import Counter

from homepot import exchange
from homepot.exchange import App, Event, Receive, Scope, Send

log = logging.getLogger(__name__)


class Rank(IntEnum):
    """The most urgent first."""

    PROBE = 0
    ACK = 1
    REGISTRATION = 2
    REST = 3


LONGEST_WAIT_S = {Rank.PROBE: 5.0, Rank.ACK: 0.25, Rank.REGISTRATION: 1.0, Rank.REST: 2.0}
SHARES = {Rank.PROBE: 1.0, Rank.ACK: 1.0, Rank.REGISTRATION: 0.75, Rank.REST: 0.5}
"""Of the threads, what requests of this rank and the less urgent ones together may hold at one time."""
BESIDE_ACKS = 1
"""Threads that what is less urgent than acks may hold together while acks wait for their commit: Python's threads share
one processor, so that each of them slows down the one that commits."""
CALM_S = 1.0
"""For so long after a request was refused nothing less urgent gets in."""
MOST_WAITING = 500
MOST_BODY_BYTES = 1_100_000
MOST_WAITING_BYTES = 32 * 1024 * 1024
MOST_HELD_BYTES = 1024 * 1024
"""An answer that is larger than this goes out while it is made."""
TELL_EVERY_S = 5.0

ALIVE = "/livez"
RANKS: tuple[tuple[Rank, re.Pattern[str]], ...] = (
    (Rank.PROBE, re.compile(r"GET /(readyz|metrics)")),
    (Rank.ACK, re.compile(r"POST /api/v1/push/ack(/batch)?")),
    (
        Rank.REGISTRATION,
        re.compile(
            r"POST /api/v1/(devices/bootstrap-provision|agent/device-dna|push/subscribe|messenger/devices/register)"
            r"|PUT /api/v1/devices/[^/]+/channels/[^/]+"
        ),
    ),
)

REFUSED = Counter("homepot_requests_refused", "Requests that were told to come back later", ["rank"])


def rank_of(method: str, path: str) -> Rank:
    asked = f"{method} {path}"
    return next((rank for rank, pattern in RANKS if pattern.fullmatch(asked)), Rank.REST)


class Threads:
    """A fixed number of threads, each given to one request at a time. For one event loop; nothing here blocks."""

    def __init__(self, count: int, acks_wait: Callable[[], bool]) -> None:
        self._acks_wait = acks_wait
        self._idle: list[Executor] = [ThreadPoolExecutor(1, f"request-{number}") for number in range(count)]
        self._most_held = {rank: max(1, int(count * share)) for rank, share in SHARES.items()}
        self._held = dict.fromkeys(Rank, 0)
        self._refused_at_s = dict.fromkeys(Rank, -CALM_S)
        self._waiting: dict[Rank, deque[asyncio.Future[Executor]]] = {rank: deque() for rank in Rank}

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    async def take(self, rank: Rank) -> Executor | None:
        """A thread, when it is this request's turn; None when that would take too long."""
        turn: asyncio.Future[Executor] = asyncio.get_running_loop().create_future()
        self._waiting[rank].append(turn)
        if self.waiting > MOST_WAITING:
            self._turn_away()
        self._hand_out()
        try:
            await asyncio.wait({turn}, timeout=LONGEST_WAIT_S[rank])
        except asyncio.CancelledError:
            self._leave(rank, turn)
            raise
        if turn.done() and not turn.cancelled():
            return turn.result()
        self._leave(rank, turn)
        self.calm(rank)
        return None

    def calm(self, rank: Rank) -> None:
        """A request of this rank was refused just now."""
        self._refused_at_s[rank] = time.monotonic()
        asyncio.get_running_loop().call_later(CALM_S, self._hand_out)

    def give_back(self, rank: Rank, thread: Executor) -> None:
        self._held[rank] -= 1
        self._idle.append(thread)
        self._hand_out()

    def _hand_out(self) -> None:
        for rank, line in self._waiting.items():
            while line and self._idle and self._may_take(rank):
                self._held[rank] += 1
                line.popleft().set_result(self._idle.pop())

    def _may_take(self, rank: Rank) -> bool:
        """Whether nothing more urgent was just refused, and no share that this rank counts against is used up."""
        stirred_at_s = max((at_s for other, at_s in self._refused_at_s.items() if other < rank), default=-CALM_S)
        if time.monotonic() - stirred_at_s < CALM_S:
            return False
        if rank > Rank.ACK and self._held_from(Rank.REGISTRATION) >= BESIDE_ACKS and self._acks_wait():
            return False
        return all(self._held_from(each) < self._most_held[each] for each in Rank if each <= rank)

    def _held_from(self, rank: Rank) -> int:
        """Threads held by requests of this rank and the less urgent ones."""
        return sum(held for other, held in self._held.items() if other >= rank)

    def _turn_away(self) -> None:
        """The one that came last of the least urgent."""
        line = next(self._waiting[rank] for rank in reversed(Rank) if self._waiting[rank])
        line.pop().cancel()

    def _leave(self, rank: Rank, turn: "asyncio.Future[Executor]") -> None:
        if turn in self._waiting[rank]:
            self._waiting[rank].remove(turn)
        elif not turn.cancelled():
            self.give_back(rank, turn.result())


class Admission:
    """ASGI application around Django's. `acks_wait`: whether any do elsewhere, without a thread of these."""

    def __init__(self, app: App, *, threads: int, acks_wait: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._threads = Threads(threads, acks_wait)
        self._waiting_bytes = 0
        self._refused = 0
        self._told_at_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == ALIVE:
            await self._app(scope, receive, send)
            return
        body = await exchange.read(receive, MOST_BODY_BYTES)
        if body is None:
            return
        if len(body) > MOST_BODY_BYTES:
            await exchange.refuse(send, 413, "The body is too large")
            return
        answer = await self._serve(rank_of(scope["method"], scope["path"]), scope, body, receive, send)
        if answer is None:
            await exchange.refuse(send, 503, exchange.TOO_MUCH)
        else:
            await answer.release()

    def ack_was_refused(self) -> None:
        """By whoever takes acks without a thread of these: nothing less urgent gets in for a while."""
        self._threads.calm(Rank.ACK)
        self._note_refusal(Rank.ACK)

    async def _serve(self, rank: Rank, scope: Scope, body: bytes, receive: Receive, send: Send) -> "HeldAnswer | None":
        """What Django answered; None where the request did not get in."""
        thread = await self._enter(rank, len(body))
        if thread is None:
            self._note_refusal(rank)
            return None
        answer = HeldAnswer(send)
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self._app(scope, exchange.replay(body, receive), answer.take)
        finally:
            self._threads.give_back(rank, thread)
        return answer

    async def _enter(self, rank: Rank, size_bytes: int) -> Executor | None:
        if self._waiting_bytes + size_bytes > MOST_WAITING_BYTES:
            return None
        self._waiting_bytes += size_bytes
        try:
            return await self._threads.take(rank)
        finally:
            self._waiting_bytes -= size_bytes

    def _note_refusal(self, rank: Rank) -> None:
        """Counts each one; a line every few seconds."""
        REFUSED.labels(rank.name.lower()).inc()
        self._refused += 1
        if time.monotonic() - self._told_at_s >= TELL_EVERY_S:
            log.warning("overloaded", extra={"refused": self._refused, "waiting": self._threads.waiting})
            self._told_at_s, self._refused = time.monotonic(), 0


class HeldAnswer:
    """Keeps what Django sends, so that its thread need not wait for the client to read it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._events: list[Event] = []
        self._size_bytes = 0

    async def take(self, event: Event) -> None:
        self._events.append(event)
        self._size_bytes += len(event.get("body", b""))
        if self._size_bytes > MOST_HELD_BYTES:
            await self.release()

    async def release(self) -> None:
        events, self._events = self._events, []
        for event in events:
            await self._send(event)
