"""Which provider is the fastest at each site, where enough is known to say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from analytics import health, ranking
from analytics.fastest import ranked
from analytics.health import Numbers
from analytics.pages import links
from analytics.pages.asked import PROVIDERS, Asked
from analytics.pages.links import Figure
from analytics.pages.reading import Hour
from analytics.pages.tiles import percent
from delivery.admin.looks import duration
from delivery.models import Site, SitePin

COLUMNS = ("site", "provider", "rank", "taken", "delivered", "delivery_rate_from", "delivery_rate_to", "p95_ms", "why")
NOT_ENOUGH = f"not enough data: no provider took {ranking.ENOUGH} messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    site: str
    url: str
    fastest: str
    """Empty: not enough data."""
    p95: str = ""
    interval: str = ""
    taken: Figure | None = None
    pinned: str = ""
    """Which provider a technician put first here."""
    second: str = ""
    """The next best, with its p95."""


def table(asked: Asked, sites: Sequence[Site], hours: Mapping[datetime, Hour]) -> list[Line]:
    """One statement more: the pins."""
    found = by_site(hours)
    pins: dict[str, str] = {pin.site_id: pin.provider for pin in SitePin.objects.filter(site__in=sites)}
    return [_line(asked, site, found.get(site.site_id, {}), pins.get(site.site_id, "")) for site in sites]


def lines(asked: Asked, hours: Mapping[datetime, Hour]) -> list[list[Any]]:
    written = []
    for site_id, providers in by_site(hours).items():
        for each in ranked(providers):
            numbers = providers[each.provider]
            low, high = each.interval or (None, None)
            p95_ms = numbers.percentile_ms(0.95)
            counts = (numbers["handed_over"], numbers["delivered"])
            written.append([site_id or "", each.provider, each.rank, *counts, low, high, p95_ms, each.why])
    return written


def by_site(hours: Mapping[datetime, Hour]) -> dict[str | None, dict[str, Numbers]]:
    """All hours of a site and provider together."""
    parts: dict[str | None, dict[str, list[Numbers]]] = {}
    for hour in hours.values():
        for (site_id, provider), numbers in hour.by_provider.items():
            if numbers["handed_over"]:
                parts.setdefault(site_id, {}).setdefault(provider, []).append(numbers)
    return {
        site_id: {provider: health.total(each) for provider, each in by_provider.items()}
        for site_id, by_provider in parts.items()
    }


def _line(asked: Asked, site: Site, providers: Mapping[str, Numbers], pin: str) -> Line:
    name, url = site.name or site.site_id, reverse("site_page", args=[site.site_id])
    known = [each for each in ranked(providers) if each.rank is not None]
    if not known:
        return Line(site=name, url=url, fastest="", pinned=PROVIDERS.get(pin, pin))
    best, numbers = known[0], providers[known[0].provider]
    low, high = best.interval or (0.0, 0.0)
    return Line(
        site=name,
        url=url,
        fastest=PROVIDERS.get(best.provider, best.provider),
        p95=duration(numbers.percentile_ms(0.95)),
        interval=f"{percent(low)} to {percent(high)}",
        taken=links.figure(asked, numbers["handed_over"], "handed_over", site_id=site.site_id, provider=best.provider),
        pinned=PROVIDERS.get(pin, pin),
        second=_with_p95(known[1].provider, providers) if len(known) > 1 else "",
    )


def _with_p95(name: str, providers: Mapping[str, Numbers]) -> str:
    return f"{PROVIDERS.get(name, name)} {duration(providers[name].percentile_ms(0.95))}"
