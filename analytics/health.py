"""Reading: how delivery goes, from the hourly numbers."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Sum

from analytics import latency
from analytics.models import HourlyRollup, RollupState
from analytics.rollups import hour_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Sums of some hours. A rate is None where there was nothing to divide by."""

    since: datetime
    as_of: datetime | None
    """When the numbers were counted; None if they never were."""
    messages: int
    delivery_rate: float | None
    """Delivered in time, of the messages that a provider or the inbox took."""
    p95_ms: float | None
    fallback_rate: float | None
    """Taken by another than their first provider, of those that anybody took."""


def last_hours(now: datetime, hours: int = 24) -> Health:
    """The current hour, and the full ones before it."""
    since = hour_of(now) - timedelta(hours=hours - 1)
    rollups = HourlyRollup.objects.filter(hour__gte=since)
    total = rollups.aggregate(
        ordered=Sum("ordered", default=0),
        delivered=Sum("delivered", default=0),
        handed_over=Sum("handed_over", default=0),
        fallback=Sum("fallback", default=0),
    )
    return Health(
        since=since,
        as_of=RollupState.objects.filter(hour__gte=since).aggregate(last=Max("counted_at"))["last"],
        messages=total["ordered"],
        delivery_rate=_share(total["delivered"], total["handed_over"]),
        p95_ms=latency.percentile_ms(latency.merge(rollups.values_list("latency", flat=True)), 0.95),
        fallback_rate=_share(total["fallback"], total["handed_over"]),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
