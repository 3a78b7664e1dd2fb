"""The sums that panels share: a statement or two each, whatever the number of messages.

Latencies of all sites together are many histograms. An hour that has not been counted again since it was read last is
remembered, so that a page reads the present hour and the few that changed.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from django.core.cache import caches
from django.db.models import Q

from analytics import health, latency
from analytics.health import Numbers
from analytics.latency import Histogram
from analytics.models import RollupState
from analytics.pages.asked import Asked

KEPT_S = 3 * 3600
Cell = tuple[str | None, datetime, str]
"""Site, hour, provider."""


def by_provider(asked: Asked) -> dict[str, Numbers]:
    """Counts and latencies of each provider, in the order of their names."""
    found = health.summed(asked.rollups, "provider")
    took = latencies(asked)
    return {name: replace(numbers, times={"latency": took.get(name, {})}) for (name,), numbers in sorted(found.items())}


def by_site(asked: Asked) -> dict[str | None, Numbers]:
    """Counts alone."""
    return {site_id: numbers for (site_id,), numbers in health.summed(asked.rollups, "site_id").items()}


def cells(asked: Asked, site_ids: Sequence[str], *, without_site: bool = False) -> dict[Cell, Numbers]:
    """Each hour of these sites by provider, with its latencies: for the heatmap and what is fastest where."""
    of_these = Q(site_id__in=site_ids) | Q(site=None) if without_site else Q(site_id__in=site_ids)
    found = asked.rollups.filter(of_these).order_by()
    columns = found.values_list("site_id", "hour", "provider", "latency", *health.COUNTS)
    return {
        (site_id, hour, provider): Numbers(
            counts=dict(zip(health.COUNTS, counts, strict=True)), times={"latency": took}
        )
        for site_id, hour, provider, took, *counts in columns.iterator()
    }


def latencies(asked: Asked) -> dict[str, Histogram]:
    """Those of all hours together, by provider."""
    by_hour = _remembered(asked)
    providers = {provider for one in by_hour for provider in one}
    return {provider: latency.merge(one.get(provider, {}) for one in by_hour) for provider in providers}


def _remembered(asked: Asked) -> list[dict[str, Histogram]]:
    whose = _whose(asked)
    states = RollupState.objects.filter(hour__gte=asked.first, hour__lt=asked.end, counted_at__isnull=False)
    keys = {
        f"latency:{hour.timestamp()}:{at and at.timestamp()}:{whose}": hour
        for hour, at in states.values_list("hour", "counted_at")
    }
    known = caches["local"].get_many(keys)
    fresh = _read(asked, [hour for key, hour in keys.items() if key not in known])
    caches["local"].set_many({key: fresh.get(hour, {}) for key, hour in keys.items() if key not in known}, KEPT_S)
    return [*known.values(), *fresh.values()]


def _read(asked: Asked, hours: Iterable[datetime]) -> dict[datetime, dict[str, Histogram]]:
    parts: dict[datetime, dict[str, list[Histogram]]] = {}
    rollups = asked.rollups.filter(hour__in=list(hours), latency_count__gt=0)
    for hour, provider, took in rollups.order_by().values_list("hour", "provider", "latency").iterator():
        parts.setdefault(hour, {}).setdefault(provider, []).append(took)
    return {
        hour: {provider: latency.merge(each) for provider, each in by_provider.items()}
        for hour, by_provider in parts.items()
    }


def _whose(asked: Asked) -> str:
    """Whose numbers they are: those of all sites, of one, or of the sites of a person."""
    sites = [asked.site.site_id] if asked.site else ["*"] if asked.everywhere else asked.site_ids
    return hashlib.sha256(repr((sites, asked.provider)).encode()).hexdigest()
