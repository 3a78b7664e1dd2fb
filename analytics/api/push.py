"""All the numbers of a period."""

from collections.abc import Iterator
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import health
from analytics.api import asking, shapes, tables
from delivery.api.answers import shape


class PushView(asking.NumbersView):
    """`GET /api/v1/analytics/push`: rates, latency and failures of a period; as a table, a line for each site,
    provider and hour."""

    @extend_schema(
        parameters=[asking.SITE, asking.PROVIDER, *asking.PERIOD, asking.FORMAT],
        responses=shape(
            "PushNumbers",
            site=shapes.maybe(),
            provider=shapes.maybe(),
            **shapes.period_fields(),
            **shapes.numbers_fields(),
        ),
    )
    def get(self, request: Request) -> Any:
        during = asking.period(request)
        if asking.wants_csv(request):
            columns = ("hour", "site", "provider", *shapes.COLUMNS)
            return tables.download(request, "push", columns, _lines(asking.rollups(request, during)))
        together = asking.numbers(request, during).get((), health.NOTHING)
        return Response({**asking.asked(request), **during.described, **shapes.written(together)})


def _lines(rollups: Any) -> Iterator[list[Any]]:
    for (hour, site_id, provider), numbers in health.one_by_one(rollups):
        yield [hour.isoformat(), site_id or "", provider, *shapes.cells(numbers)]
