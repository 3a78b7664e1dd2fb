"""Step 3, on the event loop: one batch's messages on their way, and what became of each, handed over in lots.

The ORM is never touched here; the thread that claimed the batch takes the lots and writes them.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import SimpleQueue
from threading import Event
from typing import Any, cast
from uuid import UUID

from django.conf import settings

from delivery import crash_points, envelope, guard, stopping
from delivery.models.channel import Carrier
from delivery.models.push_log_rows import Claimed
from delivery.outcomes import Outcome, OutcomeKind, no_answer
from delivery.providers.base import Provider

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one credential that this process holds."""

    rows: Sequence[Claimed]
    token: UUID
    claimed_at: datetime
    claimed_mono: float

    def now(self) -> datetime:
        """The database's time, carried on by this process's steady clock."""
        return self.claimed_at + timedelta(seconds=time.monotonic() - self.claimed_mono)


@dataclass(frozen=True, slots=True)
class Draft:
    """A claimed row with what its message needs, except the moment at which it is sent."""

    row: Claimed
    channel: Carrier
    content: Mapping[str, Any]
    collapse_key: str
    held_back: bool = False
    """Its job was paused or called off since it was claimed."""

    @property
    def usable(self) -> bool:
        """Not a closed channel, nor one whose address has moved to another device since."""
        return self.channel.usable and self.channel.device_id == self.row.device_id


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened to one claimed row; without an outcome it was never sent."""

    row: Claimed
    outcome: Outcome | None
    started_at: datetime
    took_ms: int
    channel_usable: bool = True
    """False: the channel was parked, disabled or archived before its turn came."""
    channel_used_at: datetime | None = None
    """When the channel's last use was written down, as the batch began."""


Came = SimpleQueue[Sequence[Attempt] | None]
"""Lots of attempts as they end; None after the last."""


class Lots:
    """Gathers attempts and hands them over when there are enough, or the first has waited long enough.

    One hand-over wakes the other thread once; for each attempt alone the two would fight over the interpreter's lock.
    """

    def __init__(self, came: Came) -> None:
        self._came = came
        self._lot: list[Attempt] = []
        self._timer: asyncio.TimerHandle | None = None

    def put(self, attempt: Attempt) -> None:
        self._lot.append(attempt)
        if len(self._lot) >= settings.RESULT_BATCH:
            self._hand_over()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(settings.RESULT_WAIT_S, self._hand_over)

    def close(self) -> None:
        self._hand_over()
        self._came.put(None)

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lot:
            self._came.put(self._lot)
            self._lot = []


class Deadline:
    """Cuts off what is in flight for too long. One timer for all: one for each message would cost as much as the rest
    of what is done for it here. Providers keep deadlines of their own, so this is for those that do not."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[asyncio.Task[None], float] = {}
        self._cut: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._limit_s / 20)
            late = time.monotonic() - self._limit_s
            for task, since in list(self._since.items()):
                if since < late and task not in self._cut:
                    self._cut.add(task)
                    task.cancel()

    async def keep(self, trying: Coroutine[Any, Any, Outcome]) -> Outcome:
        """The outcome, or `TimeoutError`."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._since[task] = time.monotonic()
        try:
            return await trying
        except asyncio.CancelledError:
            if task not in self._cut or task.uncancel() > 0:
                raise
            raise TimeoutError from None
        finally:
            del self._since[task]
            self._cut.discard(task)


async def send_all(provider: Provider, drafts: Sequence[Draft], batch: Batch, came: Came, closed: Event) -> None:
    """Keep up to a window of sends in flight, fewer until the first is accepted.

    No send starts once the gate has `closed` or this worker is told to end, nor one that could end after the batch's
    budget: what is left comes without an outcome.
    """
    waiting = deque(drafts)
    lots = Lots(came)
    caution = guard.Caution(provider)
    last_start = batch.claimed_mono + settings.BATCH_BUDGET_S - settings.SEND_DEADLINE_S
    deadline = Deadline(settings.SEND_DEADLINE_S)

    async def sender(number: int) -> None:
        await caution.turn(number)
        while waiting:
            draft = waiting.popleft()
            started = time.monotonic()
            sent_at = batch.claimed_at + timedelta(seconds=started - batch.claimed_mono)
            too_late = started > last_start or draft.row.expires_at <= sent_at
            held_back = draft.held_back or caution.stops or closed.is_set() or stopping.told()
            if not draft.usable or held_back or too_late:
                lots.put(Attempt(draft.row, None, sent_at, 0, channel_usable=draft.usable))
                continue
            outcome = await _try_once(provider, draft, sent_at, deadline)
            crash_points.passing("after_answer")
            caution.note(outcome)
            took_ms = round((time.monotonic() - started) * 1000)
            lots.put(Attempt(draft.row, outcome, sent_at, took_ms, channel_used_at=draft.channel.last_used_at))
        caution.nothing_left()

    watching = asyncio.create_task(deadline.watch())
    try:
        await asyncio.gather(*(sender(number) for number in range(min(settings.SEND_WINDOW, len(drafts)))))
    finally:
        watching.cancel()
        lots.close()


async def _try_once(provider: Provider, draft: Draft, sent_at: datetime, deadline: Deadline) -> Outcome:
    message = envelope.message(
        draft.row,
        draft.content,
        sent_at=sent_at,
        now=sent_at,
        address=draft.channel.address,
        environment=draft.channel.environment,
        collapse_key=draft.collapse_key,
    )
    try:
        return await deadline.keep(provider.send_one(message))
    except TimeoutError:
        return no_answer("the provider did not answer in time")
    except Exception:
        log.exception(
            "a provider raised instead of returning an outcome",
            extra={"provider": provider.name, **draft.row.ids},
        )
        return Outcome(kind=OutcomeKind.RETRY, code="provider_bug")
