"""Celery's beat, made to work with a clock that is wrong, or set while it runs.

Celery bounds what piles up in a queue that nobody reads by giving each tick an end, which beat's clock writes and the
worker's clock reads: a few seconds of difference, and every sweep is dropped. Here the queue's length is the bound.
And where its clock is set back, Celery's beat is silent until the old time comes again; this one goes on.
Told to end while it gives a task, Celery's beat may go on with a schedule that it has closed, and fails; this one ends.
"""

import logging
from datetime import datetime
from typing import Any

from celery.beat import PersistentScheduler, ScheduleEntry

from delivery import hints

log = logging.getLogger(__name__)

QUEUE = "maintenance"
MAX_WAITING = 100
"""With so many ticks in the queue nobody takes them: more would only be more to catch up with."""
RARE_S = 3_600.0
"""What comes this seldom is given in any case."""


class Beat(PersistentScheduler):
    _ticked_at: datetime | None = None
    _closed = False

    def setup_schedule(self) -> None:
        super().setup_schedule()
        self._forget_what_is_to_come(self.app.now())

    def close(self) -> None:
        super().close()
        self._closed = True

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if self._closed:
            raise SystemExit  # the one that came with the signal got lost in what it interrupted
        now = self.app.now()
        if self._ticked_at is not None and now < self._ticked_at:
            log.warning("beat's clock was set back", extra={"seconds": round((self._ticked_at - now).total_seconds())})
            self._forget_what_is_to_come(now)
            self._heap = None
        self._ticked_at = now
        seconds: float = super().tick(*args, **kwargs)
        return seconds

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        if _is_rare(entry) or (hints.waiting(QUEUE) or 0) < MAX_WAITING:
            super().apply_entry(entry, producer)

    def _forget_what_is_to_come(self, now: datetime) -> None:
        """What ran at a moment that is still to come, ran now."""
        for entry in self.schedule.values():
            if entry.last_run_at is not None and entry.last_run_at > now:
                entry.last_run_at = now


def _is_rare(entry: ScheduleEntry) -> bool:
    every: Any = entry.schedule
    return bool(every.run_every.total_seconds() >= RARE_S)
