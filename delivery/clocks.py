"""One clock for all scheduling, the database's; and what a device's clock is off by (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from delivery.models import setwise

WINDOW_S = 15 * 60
SAMPLES = 20
JUMP_MS = 2_000


def db_now() -> datetime:
    """The database's time, aware, in UTC. The process's own clock decides nothing."""
    return setwise.now()


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
