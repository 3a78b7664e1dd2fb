"""Site by hour."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import definitions, health
from analytics.api import asking, shapes, tables
from analytics.counting import HOUR
from analytics.health import Numbers
from analytics.models import HourlyRollup
from analytics.rollups import hours_between
from delivery.api import answers, paging
from delivery.api.answers import shape
from delivery.api.errors import Unprocessable
from delivery.models import Site

MOST_HOURS = 31 * 24
MARKED_OVER = 0.1
"""Above this share of failed and expired a cell is marked: what never arrived has no latency to show."""

Cells = Mapping[tuple[str, datetime], Numbers]


class HeatmapView(asking.NumbersView):
    """`GET /api/v1/analytics/heatmap`: p95, delivery rate and volume of each site and hour, a page of sites at a time.

    An hour without messages is null, not zero.
    """

    @extend_schema(
        parameters=[asking.SITE, asking.PROVIDER, *asking.PERIOD, asking.FORMAT, *paging.PARAMETERS],
        responses=shape(
            "Heatmap",
            **shapes.period_fields(),
            hours=serializers.ListField(child=serializers.DateTimeField()),
            sites=answers.many(
                "HeatmapSite",
                site_id=answers.text(),
                name=answers.text(),
                cells=answers.many(
                    "HeatmapCell",
                    hour=answers.moment(),
                    messages=shapes.MessageStatesSerializer(),
                    delivery_rate=shapes.rate(definitions.DELIVERY_RATE),
                    p95_ms=serializers.FloatField(allow_null=True),
                    not_delivered=serializers.FloatField(
                        allow_null=True, help_text="Failed and expired, of the ended."
                    ),
                    marked=serializers.BooleanField(help_text=f"Over {MARKED_OVER:.0%} were not delivered."),
                ),
            ),
            next=answers.link(),
        ),
    )
    def get(self, request: Request) -> Any:
        during = asking.period(request)
        hours = list(hours_between(during.first, during.end - HOUR))
        if len(hours) > MOST_HOURS:
            raise Unprocessable({"from": [f"At most {MOST_HOURS // 24} days before `to`"]})
        rollups = asking.rollups(request, during)
        if asking.wants_csv(request):
            columns = ("site", "hour", *shapes.COLUMNS)
            return tables.download(request, "heatmap", columns, _lines(asking.sites(request), rollups))
        sites, following = paging.page(request, asking.sites(request))
        cells = _cells(rollups, sites)
        return Response(
            {
                **during.described,
                "hours": [hour.isoformat() for hour in hours],
                "sites": [
                    {
                        "site_id": site.site_id,
                        "name": site.name,
                        "cells": [_written(hour, cells.get((site.site_id, hour))) for hour in hours],
                    }
                    for site in sites
                ],
                "next": following,
            }
        )


def _cells(rollups: QuerySet[HourlyRollup], sites: Sequence[Site]) -> Cells:
    shown = rollups.filter(site__in=[site.site_id for site in sites])
    return {(site_id, hour): numbers for (site_id, hour), numbers in health.timed(shown, "site_id", "hour").items()}


def _written(hour: datetime, numbers: Numbers | None) -> dict[str, Any] | None:
    if numbers is None or not numbers["ordered"]:
        return None
    p95_ms = numbers.percentile_ms(0.95)
    return {
        "hour": hour.isoformat(),
        "messages": {"ordered": numbers["ordered"], **numbers.states},
        "delivery_rate": numbers.rate(definitions.DELIVERY_RATE),
        "p95_ms": None if p95_ms is None else round(p95_ms, 1),
        "not_delivered": numbers.not_delivered,
        "marked": (numbers.not_delivered or 0.0) > MARKED_OVER,
    }


def _lines(sites: QuerySet[Site], rollups: QuerySet[HourlyRollup]) -> Iterator[list[Any]]:
    """Site by site, so that no more than one is held at a time."""
    for site in sites.order_by("site_id").iterator():
        for (_, hour), numbers in sorted(_cells(rollups, [site]).items(), key=lambda cell: cell[0]):
            yield [site.site_id, hour.isoformat(), *shapes.cells(numbers)]
