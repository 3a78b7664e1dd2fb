"""Site by hour: a page of sites at a time, those first that lost the most."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from analytics import health
from analytics.api import shapes
from analytics.health import Numbers
from analytics.pages import grid, links, reading
from analytics.pages.asked import Asked
from analytics.pages.grid import Grid, Point, Row
from analytics.pages.reading import Hour
from delivery.models import Site

SITES_AT_ONCE = 20
COLUMNS = ("site", "hour", *shapes.COLUMNS)
NO_SITE = "No site"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A page of sites: in which order, and each of their hours by provider."""

    sites: Sequence[Site]
    without_site: bool
    """Whether messages that belong to no site have a line, too."""
    hours: Mapping[datetime, Hour]
    more: bool


def read(asked: Asked, by_site: Mapping[str | None, Numbers]) -> Shown:
    """Two statements; `by_site` says who lost how much."""
    lost = {site_id: numbers["missed"] for site_id, numbers in by_site.items() if numbers["ordered"]}
    known: list[str | None] = list(asked.sites.order_by("site_id").values_list("site_id", flat=True))
    if None in lost:
        known.append(None)
    in_order = sorted(known, key=lambda site_id: (-lost.get(site_id, -1), site_id is None))
    page = in_order[(asked.page - 1) * SITES_AT_ONCE : asked.page * SITES_AT_ONCE]
    named = {site.site_id: site for site in Site.objects.filter(site_id__in=[each for each in page if each])}
    return Shown(
        sites=[named[site_id] for site_id in page if site_id in named],
        without_site=None in page,
        hours=reading.cells(asked, [site_id for site_id in page if site_id], without_site=None in page),
        more=len(in_order) > asked.page * SITES_AT_ONCE,
    )


def drawn(asked: Asked, shown: Shown) -> Grid:
    rows = [
        Row(
            site.name or site.site_id,
            reverse("site_page", args=[site.site_id]),
            _points(shown.hours, site.site_id),
            site.site_id,
        )
        for site in shown.sites
    ]
    if shown.without_site:
        rows.append(Row(NO_SITE, "", _points(shown.hours, None), links.NO_SITE))
    return grid.draw(asked, rows)


def _points(hours: Mapping[datetime, Hour], site_id: str | None) -> dict[datetime, Point]:
    return {
        hour: Point(one.by_site[site_id], one.p95_ms[site_id]) for hour, one in hours.items() if site_id in one.by_site
    }


def lines(asked: Asked) -> Iterator[list[Any]]:
    """Every site, not a page alone; hour by hour."""
    at: datetime | None = None
    parts: dict[str | None, list[Numbers]] = {}
    for (hour, site_id, _), numbers in health.one_by_one(asked.rollups):
        if hour != at:
            yield from _lines_of(at, parts)
            at, parts = hour, {}
        parts.setdefault(site_id, []).append(numbers)
    yield from _lines_of(at, parts)


def _lines_of(hour: datetime | None, parts: Mapping[str | None, list[Numbers]]) -> Iterator[list[Any]]:
    if hour is not None:
        for site_id, each in parts.items():
            yield [site_id or "", hour.isoformat(), *shapes.cells(health.merged(each))]
