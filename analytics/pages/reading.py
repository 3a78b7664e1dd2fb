"""The sums that panels share: a statement or two each, whatever the number of messages.

Latencies of all sites together are many histograms. An hour that has not been counted again since it was read last is
remembered, so that a page reads the present hour and the few that changed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q

from analytics import health, latency, totals
from analytics.health import Numbers
from analytics.latency import Histogram
from analytics.models import COUNTS
from analytics.pages.asked import Asked
from analytics.pages.remembered import ByHour

LATENCIES: ByHour[Mapping[str, Histogram]] = ByHour(800)
"""By provider: some 10 kB an hour."""
VERDICTS: ByHour[Mapping[str, int]] = ByHour(800)
CELLS: ByHour["Hour"] = ByHour(60)
"""Up to half a MB an hour: 20 sites, 6 providers, a histogram each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    by_provider: Mapping[str, Numbers]
    """In the order of their names, with their latencies."""
    by_site: Mapping[str | None, Numbers]
    """Counts alone."""
    total: Numbers


def sums(asked: Asked) -> Sums:
    """All that is asked for, in parts and as a whole."""
    found = health.summed(asked.rollups, "site_id", "provider")
    took = latencies(asked)
    sites: dict[str | None, list[Numbers]] = {}
    providers: dict[str, list[Numbers]] = {}
    for (site_id, provider), numbers in found.items():
        sites.setdefault(site_id, []).append(numbers)
        providers.setdefault(provider, []).append(numbers)
    by_provider = {
        name: replace(health.total(providers[name]), latencies=[took.get(name, {})]) for name in sorted(providers)
    }
    return Sums(
        by_provider=by_provider,
        by_site={site_id: health.total(each) for site_id, each in sites.items()},
        total=health.total(by_provider.values()),
    )


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of some sites."""

    by_provider: Mapping[tuple[str | None, str], Numbers]
    """Site and provider."""
    by_site: Mapping[str | None, Numbers]
    p95_ms: Mapping[str | None, float | None]


def cells(asked: Asked, site_ids: Sequence[str], *, without_site: bool = False) -> Mapping[datetime, Hour]:
    """Each hour of these sites, with its latencies: for the heatmap and what is fastest where."""
    of_these = Q(site_id__in=site_ids) | Q(site=None) if without_site else Q(site_id__in=site_ids)
    rollups = asked.rollups.filter(of_these).order_by()

    def read(hours: Sequence[datetime]) -> dict[datetime, Hour]:
        columns = rollups.filter(hour__in=hours).values_list("hour", "site_id", "provider", "latency", *COUNTS)
        found: dict[datetime, dict[tuple[str | None, str], Numbers]] = {hour: {} for hour in hours}
        for hour, site_id, provider, took, *counts in columns:
            sums = dict(zip(COUNTS, counts, strict=True))
            found[hour][site_id, provider] = Numbers(counts=sums, latencies=[took])
        return {hour: _hour(parts) for hour, parts in found.items()}

    what = (tuple(site_ids), without_site, asked.provider)
    return CELLS.read(what, asked.first, asked.end, read)


def _hour(parts: Mapping[tuple[str | None, str], Numbers]) -> Hour:
    sites: dict[str | None, list[Numbers]] = {}
    for (site_id, _), numbers in parts.items():
        sites.setdefault(site_id, []).append(numbers)
    by_site = {site_id: health.total(each) for site_id, each in sites.items()}
    return Hour(parts, by_site, {site_id: numbers.percentile_ms(0.95) for site_id, numbers in by_site.items()})


def latencies(asked: Asked) -> dict[str, Histogram]:
    """Those of all hours together, by provider."""

    def read(hours: Sequence[datetime]) -> dict[datetime, dict[str, Histogram]]:
        parts: dict[datetime, dict[str, list[Histogram]]] = {hour: {} for hour in hours}
        for hour, provider, took in _took(asked, hours):
            parts[hour].setdefault(provider, []).append(took)
        return {
            hour: {provider: latency.merge(each) for provider, each in by_provider.items()}
            for hour, by_provider in parts.items()
        }

    by_hour = LATENCIES.read((_whose(asked), asked.provider), asked.first, asked.end, read).values()
    providers = {provider for one in by_hour for provider in one}
    return {provider: latency.merge(one.get(provider, {}) for one in by_hour) for provider in providers}


def _took(asked: Asked, hours: Sequence[datetime]) -> Iterator[tuple[datetime, str, Histogram]]:
    if asked.everywhere and asked.site is None:
        for row in totals.rows(Q(hour__in=hours), asked.provider):
            yield row["hour"], row["provider"], row["latency"]
    else:
        rollups = asked.rollups.filter(hour__in=hours, latency_count__gt=0).order_by()
        yield from rollups.values_list("hour", "provider", "latency")


def verdicts(asked: Asked) -> Mapping[str, int]:
    """Messages by verdict, the most frequent first."""

    def read(hours: Sequence[datetime]) -> dict[datetime, Counter[str]]:
        found: dict[datetime, Counter[str]] = {hour: Counter() for hour in hours}
        rollups = asked.rollups.filter(hour__in=hours).exclude(verdicts={}).order_by()
        for hour, counts in rollups.values_list("hour", "verdicts"):
            found[hour].update(counts)
        return found

    by_hour = VERDICTS.read((_whose(asked), asked.provider), asked.first, asked.end, read)
    total: Counter[str] = Counter()
    for counts in by_hour.values():
        total.update(counts)
    return dict(total.most_common())


def _whose(asked: Asked) -> object:
    """Whose numbers they are: those of all sites, of one, or of the sites of a person."""
    return asked.site.site_id if asked.site else None if asked.everywhere else tuple(asked.site_ids)
