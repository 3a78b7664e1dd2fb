"""One clock for all scheduling, the database's; what a device says the time is, and what its clock is off by (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from delivery.models import setwise

WINDOW_S = 15 * 60
SAMPLES = 20
JUMP_MS = 2_000
LEAP_SECOND = re.compile(r"([T ]\d\d:\d\d):60")


def db_now() -> datetime:
    """The database's time, aware, in UTC. The process's own clock decides nothing."""
    return setwise.now()


def read(text: str) -> datetime:
    """An ISO-8601 time as aware UTC; without a zone it is read as UTC. `ValueError` where it is none.

    However wrong a device's clock is, what it says can be read: a leap second is the second after it, and where UTC
    would leave the years 1 to 9999 the zone is not looked at.
    """
    without_leap, leap_s = LEAP_SECOND.subn(r"\1:59", text.strip())
    said = datetime.fromisoformat(without_leap)
    try:
        return (said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)) + timedelta(seconds=leap_s)
    except OverflowError:
        return said.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """One statement of a device: what our clock and its clock said at the same moment."""

    at_s: float
    """Our time, Unix seconds."""
    difference_ms: int
    """Our time minus the device's. The way here makes it larger, never smaller."""


def offset_ms(samples: Sequence[Sample]) -> int | None:
    """What to add to the device's time to get ours; None while nothing is known.

    The smallest difference is the one that lost the least time on its way.
    """
    return min((sample.difference_ms for sample in samples), default=None)


def observe(samples: Sequence[Sample], new: Sample) -> list[Sample]:
    """The samples to keep once `new` has come: the last 20 of the last 15 minutes.

    Two samples running that lie over 2 s from the estimate mean that the clock was set: only they count from then on.
    """
    kept = [sample for sample in samples if sample.at_s > new.at_s - WINDOW_S][-(SAMPLES - 1) :]
    if not kept:
        return [new]
    before = offset_ms(kept[:-1]) if len(kept) > 1 else None
    if (
        before is not None
        and abs(kept[-1].difference_ms - before) > JUMP_MS
        and abs(new.difference_ms - before) > JUMP_MS
    ):
        return [kept[-1], new]
    return [*kept, new]
