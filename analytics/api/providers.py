"""Providers side by side, and ranked."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import fastest, ranking
from analytics.api import asking, shapes, tables
from analytics.health import Numbers
from delivery.api import answers
from delivery.api.answers import shape

WEEK_H = 7 * 24


class ProvidersView(asking.NumbersView):
    """`GET /api/v1/analytics/providers`: each provider's numbers, the best first, and why.

    Best is who delivers within a point of the best rate and is the fastest of those; with under 20 messages, nobody.
    The inbox is listed last: a device fetches from it when it wants to. A week, where no period is given.
    """

    @extend_schema(
        parameters=[asking.SITE, *asking.PERIOD, asking.FORMAT],
        responses=shape(
            "ProviderNumbers",
            site=shapes.maybe(),
            **shapes.period_fields(),
            fastest=shapes.maybe(),
            providers=answers.many(
                "Provider",
                provider=answers.text(),
                rank=serializers.IntegerField(allow_null=True, help_text="1 is the best; null: not enough data."),
                why=answers.text(),
                interval=serializers.ListField(
                    child=serializers.FloatField(),
                    allow_null=True,
                    help_text="Where the true delivery rate lies, 95 times of 100.",
                ),
                **shapes.numbers_fields(),
            ),
        ),
    )
    def get(self, request: Request) -> Any:
        during = asking.period(request, hours=WEEK_H)
        found = {key: numbers for (key,), numbers in asking.numbers(request, during, "provider").items()}
        ranked = fastest.ranked(found)
        if asking.wants_csv(request):
            columns = ("provider", "rank", "why", *shapes.COLUMNS)
            lines = [[each.provider, each.rank, each.why, *shapes.cells(found[each.provider])] for each in ranked]
            return tables.download(request, "providers", columns, lines)
        return Response(
            {
                "site": asking.asked(request)["site"],
                **during.described,
                "fastest": next((each.provider for each in ranked if each.rank == 1), None),
                "providers": [_written(each, found[each.provider]) for each in ranked],
            }
        )


def _written(each: ranking.Ranked, numbers: Numbers) -> dict[str, Any]:
    interval = None if each.interval is None else [round(end, 4) for end in each.interval]
    return {
        "provider": each.provider,
        "rank": each.rank,
        "why": each.why,
        "interval": interval,
        **shapes.written(numbers),
    }
