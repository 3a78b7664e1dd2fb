"""Addresses: how they come, go and fall silent."""

from datetime import UTC, timedelta
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import addresses, definitions
from analytics.api import asking, shapes, tables
from delivery import clocks
from delivery.api import answers
from delivery.api.answers import count, shape

DEFAULT_DAYS = 30


class RegistrationsView(asking.NumbersView):
    """`GET /api/v1/analytics/registrations?days=30`: addresses that came and went on each day, UTC."""

    @extend_schema(
        parameters=[
            asking.SITE,
            OpenApiParameter("days", int, description=f"1 to 366, {DEFAULT_DAYS} if not given."),
            asking.FORMAT,
        ],
        responses=shape(
            "Registrations",
            site=shapes.maybe(),
            registered=count(),
            lost=count(),
            days=answers.many(
                "RegistrationDay",
                day=serializers.DateField(),
                registered=serializers.IntegerField(help_text="Addresses registered for the first time."),
                lost=serializers.IntegerField(help_text="Addresses disabled or archived, that have not come back."),
            ),
        ),
    )
    def get(self, request: Request) -> Any:
        last = clocks.db_now().astimezone(UTC).date()
        first = last - timedelta(days=asking.days(request, DEFAULT_DAYS) - 1)
        days = addresses.by_day(asking.channels(request), first=first, last=last)
        if asking.wants_csv(request):
            lines = [(day.day.isoformat(), day.registered, day.lost) for day in days]
            return tables.download(request, "registrations", ("day", "registered", "lost"), lines)
        return Response(
            {
                "site": asking.asked(request)["site"],
                "registered": sum(day.registered for day in days),
                "lost": sum(day.lost for day in days),
                "days": [{"day": day.day.isoformat(), "registered": day.registered, "lost": day.lost} for day in days],
            }
        )


IDLE_COLUMNS = ("active", "under_30_days", "from_30_days", "from_60_days", "from_90_days")


class AddressesView(asking.NumbersView):
    """`GET /api/v1/analytics/addresses`: how long active addresses carried nothing, and how many devices have one."""

    @extend_schema(
        parameters=[asking.SITE, asking.FORMAT],
        responses=shape(
            "Addresses",
            site=shapes.maybe(),
            devices=count(),
            reachable=count(),
            reachability=shapes.rate(definitions.REACHABILITY),
            providers=answers.many(
                "IdleAddresses", provider=answers.text(), **{column: count() for column in IDLE_COLUMNS}
            ),
        ),
    )
    def get(self, request: Request) -> Any:
        idle = addresses.idle(asking.channels(request), clocks.db_now())
        lines = [(each.provider, each.active, each.under_30, each.from_30, each.from_60, each.from_90) for each in idle]
        columns = ("provider", *IDLE_COLUMNS)
        if asking.wants_csv(request):
            return tables.download(request, "addresses", columns, lines)
        reach = addresses.reach(asking.devices(request))
        return Response(
            {
                "site": asking.asked(request)["site"],
                "devices": reach.devices,
                "reachable": reach.reachable,
                "reachability": reach.reachability,
                "providers": [dict(zip(columns, line, strict=True)) for line in lines],
            }
        )
