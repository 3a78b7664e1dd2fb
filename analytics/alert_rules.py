"""Pure: when something measured becomes an alert, and when it is none any more.

What is over its limit, and measured often enough, opens an alert. One that stands closes only after it has been clearly
under the limit for a while: a value that swings about the limit opens one alert, not one an hour.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

CLEARLY_UNDER = 0.8
"""What stands is better from this share of its limit on."""
FORGOTTEN_AFTER = timedelta(hours=2)
"""What stands closes when nothing could be measured for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    kind: str
    limit: float
    """More than this is too much."""
    enough: int = 1
    """Measured less often, it says nothing."""
    of_states: bool = False
    """It looks at what is, not at what was counted: nothing to see means that all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    value: float
    sample: int = 1
    """How often it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert that stands open."""

    last_seen_at: datetime
    better_since: datetime | None


class Step(Enum):
    NOTHING = "nothing to do"
    OPEN = "open an alert, or note that it goes on"
    BETTER = "it may be over: note since when"
    CLOSE = "it is over"


def judge(rule: Rule, measured: Measured | None, standing: Standing | None, *, now: datetime, calm_s: float) -> Step:
    """What a measurement means for the alert; `measured` is None where there was nothing to measure."""
    if measured is None:
        measured = Measured(value=0.0, sample=rule.enough if rule.of_states else 0)
    known = measured.sample >= rule.enough
    if known and measured.value > rule.limit:
        return Step.OPEN
    if standing is None:
        return Step.NOTHING
    if not known:
        return Step.CLOSE if now - standing.last_seen_at >= FORGOTTEN_AFTER else Step.NOTHING
    if measured.value > rule.limit * CLEARLY_UNDER:
        return Step.OPEN
    if standing.better_since is None:
        return Step.BETTER
    return Step.CLOSE if now - standing.better_since >= timedelta(seconds=calm_s) else Step.NOTHING
