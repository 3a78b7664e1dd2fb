"""The short form that clients of before know."""

from datetime import timedelta

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import definitions, health
from analytics.api import asking
from analytics.counting import HOUR
from analytics.rollups import hour_of
from delivery import clocks
from delivery.api.answers import count, shape

DEFAULT_DAYS = 7


class StatsView(asking.NumbersView):
    """`GET /api/v1/analytics/stats?days=7`: sent, failed and delivered sum to the total.

    What was called off, or never to be sent, is not in it.
    """

    @extend_schema(
        parameters=[OpenApiParameter("days", int, description=f"1 to 366, {DEFAULT_DAYS} if not given.")],
        responses=shape(
            "Stats",
            total_pushes=count(),
            sent_pushes=serializers.IntegerField(help_text="On their way: not ended yet."),
            failed_pushes=serializers.IntegerField(help_text="Failed or expired."),
            delivered_pushes=serializers.IntegerField(help_text="The device has them, late ones among them."),
            delivery_rate=serializers.FloatField(
                help_text=f"{definitions.DELIVERY_RATE.text} In percent, 2 decimals, 0 without any."
            ),
            avg_delivery_time=serializers.FloatField(
                help_text=f"{definitions.LATENCY.text} In seconds, 3 decimals, 0 without any."
            ),
        ),
    )
    def get(self, request: Request) -> Response:
        end = hour_of(clocks.db_now()) + HOUR
        during = asking.Period(end - timedelta(days=asking.days(request, DEFAULT_DAYS)), end)
        numbers = health.total(health.summed(asking.rollups(request, during), "provider").values())
        sent, delivered = numbers["open"], numbers["arrived"]
        failed = numbers["failed"] + numbers["expired"]
        rate = numbers.rate(definitions.DELIVERY_RATE) or 0.0
        measured = numbers["latency_count"]
        return Response(
            {
                "total_pushes": sent + failed + delivered,
                "sent_pushes": sent,
                "failed_pushes": failed,
                "delivered_pushes": delivered,
                "delivery_rate": round(100 * rate, 2),
                "avg_delivery_time": round(numbers["latency_sum_ms"] / measured / 1000, 3) if measured else 0.0,
            }
        )
