"""Acks of many calls in one transaction.

While one group is committed the next one gathers, so a group is as large as the load makes it, and no ack waits for a
timer. One thread with a database connection of its own does it, beside all that views are doing. Another takes every
other group where groups are large: then one is prepared while the database writes the other.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from queue import Empty, SimpleQueue

from django.db import close_old_connections, connection

from delivery import acks, outage
from delivery.api import throttles
from delivery.api.acks import RATE
from delivery.api.callers import devices_with_keys
from delivery.api.throttles import Call
from delivery.models import setwise

log = logging.getLogger(__name__)

MOST_TOGETHER = 500
"""Acks in one transaction; a call is never divided."""
MOST_WAITING = 5_000
LARGE = 100
"""So many acks are a group for the second thread. Of fewer, two groups at once cost more than one after the other."""
LATE_S = 0.4
"""A call that waited for longer before its commit began is refused: soon answered, or soon told when to come back."""
LONGEST_WAIT_S = 10.0
IDLE_S = 1.0
"""A connection that was not used for so long is looked at first."""

_last = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class AckCall:
    """One request, read but not believed yet."""

    proven: Sequence[acks.ProvenAck]
    """Proved by the acks themselves, or by `key` where one came with them."""
    address: str | None
    key: tuple[str, str] | None = None
    """Device id and key, both as they came."""


class Fate(Enum):
    COMMITTED = "committed"
    NOT_PLAIN = "not plain"
    """Nothing was counted or written for it: the view finds out what to answer."""
    AWAY = "away"
    """The database cannot serve; nothing was written."""
    TOO_MANY = "too many"
    """Nothing was written."""
    UNKNOWN = "unknown"
    """It took too long, and may yet be written. A second time changes nothing."""


def commit_group(calls: Sequence[AckCall]) -> list[Fate]:
    """Check keys and limits, and record what passes: all of it, or nothing."""
    try:
        _prepare_connection()
        passed = _passed(calls)
        acks.record([ack for call, good in zip(calls, passed, strict=True) if good for ack in call.proven])
    except Exception as error:
        connection.close()
        if outage.is_outage(error):
            log.warning("database away", extra={"why": f"{type(error).__name__}: {error}"[:200]})
            return [Fate.AWAY] * len(calls)
        log.exception("a group of acks failed; each is tried alone", extra={"calls": len(calls)})
        return [Fate.NOT_PLAIN] * len(calls)
    return [Fate.COMMITTED if good else Fate.NOT_PLAIN for good in passed]


def _prepare_connection() -> None:
    """Whether it still stands is a round trip, and with a pool the way out and in again: not for groups that follow
    each other at once. Acks find their messages by key alone.
    """
    now_s = time.monotonic()
    if now_s - getattr(_last, "at_s", -IDLE_S) >= IDLE_S:
        close_old_connections()
    _last.at_s = now_s
    setwise.find_by_key(True)


def _passed(calls: Sequence[AckCall]) -> list[bool]:
    good_keys = devices_with_keys({call.key for call in calls if call.key})
    passed = [call.key is None or call.key in good_keys for call in calls]
    counted = [
        Call(call.address, f"device:{call.key[0]}" if call.key else None)
        for call, good in zip(calls, passed, strict=True)
        if good
    ]
    waits_s = iter(throttles.spend_each(RATE, counted))
    return [good and next(waits_s) is None for good in passed]


@dataclass(frozen=True, slots=True)
class _Waiting:
    call: AckCall
    fate: "asyncio.Future[Fate]"
    since_s: float = field(default_factory=time.monotonic)


class Groups:
    """Gathers the calls of event loops, and tells each its fate. Its threads start with the first call."""

    def __init__(self, commit: Callable[[Sequence[AckCall]], Sequence[Fate]] = commit_group) -> None:
        self._commit = commit
        self._gathering: SimpleQueue[_Waiting] = SimpleQueue()
        self._for_second: SimpleQueue[Sequence[_Waiting]] = SimpleQueue()
        self._second_rests = threading.Semaphore()
        self._started = False

    def any_wait(self) -> bool:
        """Besides those that are being committed."""
        return not self._gathering.empty()

    async def commit(self, call: AckCall) -> Fate:
        """What became of it. For one event loop at a time."""
        if self._gathering.qsize() >= MOST_WAITING:
            return Fate.TOO_MANY
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="acks", daemon=True).start()
            threading.Thread(target=self._help, name="acks-2", daemon=True).start()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(call, loop.create_future())
        self._gathering.put(waiting)
        limit = loop.call_later(LONGEST_WAIT_S, _settle, [(waiting, Fate.UNKNOWN)])
        try:
            return await waiting.fate
        finally:
            limit.cancel()

    def _run(self) -> None:
        while True:
            gathered = self._gathered()
            late_since_s = time.monotonic() - LATE_S
            late = [waiting for waiting in gathered if waiting.since_s < late_since_s]
            _tell(late, [Fate.TOO_MANY] * len(late))
            group = [waiting for waiting in gathered if waiting.since_s >= late_since_s]
            acks_in_it = sum(len(waiting.call.proven) for waiting in group)
            if acks_in_it >= LARGE and self._second_rests.acquire(blocking=False):
                self._for_second.put(group)
            elif group:
                _tell(group, self._committed(group))

    def _help(self) -> None:
        while True:
            group = self._for_second.get()
            try:
                _tell(group, self._committed(group))
            finally:
                self._second_rests.release()

    def _committed(self, group: Sequence[_Waiting]) -> Sequence[Fate]:
        try:
            return self._commit([waiting.call for waiting in group])
        except Exception:  # or the thread would end, and no ack be committed any more
            log.exception("bug")
            return [Fate.NOT_PLAIN] * len(group)

    def _gathered(self) -> list[_Waiting]:
        """At least one; whatever else came while the last group was committed."""
        group = [self._gathering.get()]
        count = len(group[0].call.proven)
        while count < MOST_TOGETHER:
            try:
                group.append(self._gathering.get_nowait())
            except Empty:
                break
            count += len(group[-1].call.proven)
        return group


def _tell(calls: Sequence[_Waiting], fates: Sequence[Fate]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Fate]]] = defaultdict(list)
    for waiting, fate in zip(calls, fates, strict=True):
        by_loop[waiting.fate.get_loop()].append((waiting, fate))
    for loop, told in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, told)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.info("acks were judged for callers who have gone", extra={"calls": len(told)})


def _settle(told: Sequence[tuple[_Waiting, Fate]]) -> None:
    for waiting, fate in told:
        if not waiting.fate.done():
            waiting.fate.set_result(fate)
