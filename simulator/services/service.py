"""What the four services have in common: a TLS server, a fault script, counts, and addresses that die."""

import asyncio
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, assert_never

from simulator.services.deliveries import Accepted, Deliveries, Keeps
from simulator.services.faults import GARBAGE, Do, Fault, FaultScript
from simulator.services.listening import Listening, StreamPolicy
from simulator.services.tls import tls_files
from simulator.services.wire import Answer, Connection, Exchange, Request

T = TypeVar("T")
CHANGE_S = 5.0
"""How long another thread waits for a change of the script to be in force."""


class EmulatedService(ABC):
    """A push service on this machine. `async with` it, or `running()` it in a thread of its own.

    `port` 0 takes any free port. `home` holds the certificate and the credentials that a client needs and is kept from
    run to run; without one it is a temporary directory. The script may be changed from any thread.
    """

    name: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]] = ("h2", "http/1.1")
    keeps: ClassVar[Keeps]
    streams: ClassVar[StreamPolicy] = StreamPolicy()

    def __init__(self, *, port: int = 0, home: Path | None = None) -> None:
        self.listening = Listening(port, self.protocols, self.streams, self._received)
        self.faults = FaultScript()
        self.deliveries = Deliveries(self.keeps)
        self.requests = 0
        self.answers: Counter[int] = Counter()
        """How often each status was answered."""
        self._gone: dict[str, float] = {}
        self._thread_id = 0
        self._given_home = home
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    # What a service is.

    @abstractmethod
    def address_of(self, request: Request) -> str | None:
        """Whom a send is for (empty when that cannot be read); None when the request is not a send."""

    @abstractmethod
    def judge(self, request: Request) -> Accepted | Answer:
        """The message that this request asks to take, or the documented answer. Takes nothing yet."""

    @abstractmethod
    def thanks(self, request: Request, accepted: Accepted) -> Answer:
        """The answer for a message that was taken."""

    @abstractmethod
    def refusal(self, status: int, reason: str, request: Request) -> Answer:
        """The service's documented answer with this code."""

    @abstractmethod
    def gone(self, request: Request, since_s: float) -> Answer:
        """The documented answer for an address that died at this moment (Unix time)."""

    @abstractmethod
    def quota_reason(self, by: str) -> str:
        """The word with which this service answers 429, to one `address` or to everybody."""

    @abstractmethod
    def new_address(self) -> str:
        """An address as a device would register it."""

    def waiting(self, answer: Answer, retry_after: str) -> Answer:
        """The same answer, which asks its client to wait."""
        return answer.with_headers({"retry-after": http_wait(retry_after)}) if retry_after else answer

    @abstractmethod
    def write_credentials(self) -> None:
        """Write what a sender needs into `home`; called when the port is known."""

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """What a sender is configured with, besides the URL and the CA."""

    def key_of(self, address: str) -> str:
        """An address as `Accepted.address` spells it."""
        return address

    # Life.

    @property
    def port(self) -> int:
        return self.listening.port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.home / "ca.pem"

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self.home = self._given_home or self._temporary_home()
        self._tls_files = tls_files(self.home)
        await self.listening.open(self._tls_files)
        self.write_credentials()

    async def stop(self) -> None:
        self.faults.clear()
        self.listening.close()
        await self.listening.closed()
        if self._temporary:
            self._temporary.cleanup()

    def _temporary_home(self) -> Path:
        self._temporary = tempfile.TemporaryDirectory(prefix="push-service-")
        return Path(self._temporary.name)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # One request.

    def _received(self, exchange: Exchange) -> None:
        self.requests += 1
        self._count_for_goaway(exchange.connection)
        address = self.address_of(exchange.request)
        fault = self.faults.meeting(address or "", "token" if address is None else "send")
        if fault is None:
            self._serve(exchange)
        else:
            self._misbehave(exchange, fault)

    def _serve(self, exchange: Exchange, pause_s: float = 0.0) -> None:
        answer = self._take(exchange)
        self._answer(exchange, answer.dripping(pause_s) if pause_s else answer)

    def _answer(self, exchange: Exchange, answer: Answer) -> None:
        self.answers[answer.status] += 1
        exchange.answer(answer)

    def _take(self, exchange: Exchange) -> Answer:
        request = exchange.request
        verdict = self.judge(request)
        if isinstance(verdict, Answer):
            return verdict
        died_at_s = self._gone.get(verdict.address)
        if died_at_s is not None:
            return self.gone(request, died_at_s)
        answer = self.thanks(request, verdict)
        self.deliveries.accept(verdict)
        self.listening.warmed(exchange.connection)
        return answer

    def _misbehave(self, exchange: Exchange, fault: Fault) -> None:
        request = exchange.request
        match fault.do:
            case Do.ANSWER:
                refusal = self.refusal(fault.status, fault.reason, request)
                self._answer(exchange, self.waiting(refusal, fault.retry_after))
            case Do.QUOTA:
                refusal = self.refusal(429, self.quota_reason(fault.by), request)
                self._answer(exchange, self.waiting(refusal, fault.retry_after))
            case Do.DEAD:
                self._answer(exchange, self.gone(request, time.time()))
            case Do.GARBAGE:
                self._answer(exchange, GARBAGE[fault.body]())
            case Do.DELAY:
                self._loop.call_later(fault.delay_s, self._serve, exchange)
            case Do.DRIP:
                self._serve(exchange, fault.delay_s)
            case Do.HANG:
                pass
            case Do.RESET_BEFORE:
                exchange.connection.reset()
            case Do.RESET_AFTER:
                self._take(exchange)
                exchange.connection.reset()
            case Do.GOAWAY | Do.STREAMS | Do.OUTAGE:
                raise AssertionError(f"{fault.do} is about connections, not requests")
            case _:
                assert_never(fault.do)

    def _count_for_goaway(self, connection: Connection) -> None:
        connection.requests += 1
        limit = self.faults.limit(Do.GOAWAY)
        if limit and connection.requests >= limit:
            connection.go_away()

    # Changing it while it runs, from any thread.

    def misbehaves(self, fault: Fault) -> int:
        """Put a fault in force; its number ends it."""
        fault = replace(fault, addresses=frozenset(map(self.key_of, fault.addresses)))
        return self._on_loop(lambda: self._add(fault))

    def fails_with(self, status: int, reason: str = "", *, retry_after: str = "", **more: Any) -> int:
        """Answer with this code from now on, to a `share`, to some `addresses`, for a while (`for_s`): see Fault."""
        return self.misbehaves(Fault(do=Do.ANSWER, status=status, reason=reason, retry_after=retry_after, **more))

    def does(self, do: Do | str, **more: Any) -> int:
        return self.misbehaves(Fault(do=Do(do), **more))

    def heals(self, number: int | None = None) -> int:
        """End one fault, or all; how many ended."""
        return self._on_loop(lambda: self._clear(number))

    def retire(self, addresses: Iterable[str]) -> None:
        """These addresses are gone for good from now on."""
        self._on_loop(lambda: self._retire(addresses))

    def accepted(self) -> list[Accepted]:
        """The last messages taken, oldest first."""
        return list(self.deliveries.recent)

    def times_accepted(self, message_id: str) -> int:
        return self.deliveries.counts[message_id]

    def clear_counts(self) -> None:
        self.deliveries.clear_counts()
        self.answers.clear()
        self.requests = 0

    def summary(self) -> dict[str, Any]:
        return {
            **self.deliveries.summary(),
            "requests": self.requests,
            "answers": {str(status): times for status, times in sorted(self.answers.items())},
            "connections_opened": self.listening.opened,
            "connections_open": len(self.listening.connections),
            "refused_streams": self.listening.refused_streams,
        }

    def _add(self, fault: Fault) -> int:
        number = self.faults.add(fault)
        self._follow_script()
        if fault.for_s is not None:
            self._loop.call_later(fault.for_s + 0.01, self._follow_script)
        return number

    def _clear(self, number: int | None) -> int:
        ended = self.faults.clear(number)
        self._follow_script()
        return ended

    def _retire(self, addresses: Iterable[str]) -> None:
        for address in map(self.key_of, addresses):
            self._gone[address] = time.time()
            self.deliveries.forget(address)

    def _follow_script(self) -> None:
        """Bring connections and the listening socket in line with the faults in force."""
        self.listening.limit_streams(self.faults.limit(Do.STREAMS))
        if self.faults.outage():
            self.listening.close()
        elif not self.listening.is_open:
            self._reopening = self._loop.create_task(self.listening.open(self._tls_files))

    def _on_loop(self, change: Callable[[], T]) -> T:
        if threading.get_ident() == self._thread_id:
            return change()

        async def changed() -> T:
            return change()

        return asyncio.run_coroutine_threadsafe(changed(), self._loop).result(CHANGE_S)


def http_wait(retry_after: str) -> str:
    """What goes into the header for a fault's `retry_after`."""
    if not retry_after.startswith("date+"):
        return retry_after
    return formatdate(time.time() + float(retry_after.removeprefix("date+")), usegmt=True)
