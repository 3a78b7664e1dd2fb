"""An hour of all sites together, kept beside the rollups that it sums.

To sum a day of 200 sites from their rollups means to add up some hundred thousand histograms. Who may see all sites
gets these instead. A total counts as long as its hour was not counted again since; where there is none, the rollups do.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Q, Subquery

from analytics import latency
from analytics.models import COUNTS, JSON_FIELDS, HourlyRollup, HourlyTotal, RollupState

Fields = Mapping[str, Any]
"""Of one rollup; histograms may come as JSON text."""


def write(hour: datetime, counted_at: datetime, rows: Mapping[tuple[str | None, str], Fields]) -> None:
    """The totals of an hour that has just been counted, from its rollups by site and provider."""
    by_provider: defaultdict[str, list[Fields]] = defaultdict(list)
    for (_, provider), fields in rows.items():
        by_provider[provider].append(fields)
    HourlyTotal.objects.filter(hour=hour).delete()
    HourlyTotal.objects.bulk_create(
        HourlyTotal(hour=hour, provider=provider, counted_at=counted_at, sums=_sums(each))
        for provider, each in by_provider.items()
    )


def rows(hours: Q, provider: str | None = None) -> Iterator[dict[str, Any]]:
    """Rows as rollups have them, of these hours: one for all sites, or one for each."""
    counted_at = RollupState.objects.filter(hour=OuterRef("hour")).values("counted_at")
    totals = HourlyTotal.objects.filter(hours, counted_at=Subquery(counted_at))
    others = HourlyRollup.objects.filter(hours).exclude(hour__in=totals.values("hour"))
    if provider is not None:
        totals, others = totals.filter(provider=provider), others.filter(provider=provider)
    for hour, name, sums in totals.values_list("hour", "provider", "sums").iterator():
        yield {"hour": hour, "provider": name, **sums}
    yield from others.values("hour", "provider", *COUNTS, *JSON_FIELDS).iterator()


def _sums(parts: list[Fields]) -> dict[str, Any]:
    times: defaultdict[str, list[latency.Histogram]] = defaultdict(list)
    counters = {name: Counter[str]() for name in ("verdicts", "refused")}
    for fields in parts:
        for part, one in _read(fields, "times").items():
            times[part].append(one)
        for name, counter in counters.items():
            counter.update(_read(fields, name))
    return {
        **{name: sum(fields.get(name, 0) for fields in parts) for name in COUNTS},
        **{name: dict(counter) for name, counter in counters.items()},
        **{name: latency.merge(_read(fields, name) for fields in parts) for name in ("latency", "handoff")},
        "times": {part: latency.merge(each) for part, each in times.items()},
    }


def _read(fields: Fields, name: str) -> Mapping[str, Any]:
    found: Any = fields.get(name, {})
    read: Mapping[str, Any] = json.loads(found) if isinstance(found, str) else found
    return read
