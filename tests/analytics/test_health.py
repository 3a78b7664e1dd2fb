from datetime import UTC, datetime, timedelta

import pytest

from analytics import health, latency
from analytics.models import HourlyRollup

NOW = datetime(2026, 3, 29, 12, 34, tzinfo=UTC)


def rollup(hours_ago: int, **fields: object) -> None:
    hour = NOW.replace(minute=0) - timedelta(hours=hours_ago)
    HourlyRollup.objects.create(hour=hour, provider="fcm", **fields)


@pytest.mark.django_db
def test_sums_the_hours_asked_for_and_no_older_one() -> None:
    rollup(0, ordered=10, handed_over=8, delivered=6, fallback=2, latency=latency.histogram([74] * 19))
    rollup(23, ordered=10, handed_over=2, delivered=2, latency=latency.histogram([1000]))
    rollup(24, ordered=10, handed_over=10, fallback=10, latency=latency.histogram([5000] * 1000))

    found = health.last_hours(NOW, 24)

    assert (found.messages, found.delivery_rate, found.fallback_rate) == (20, 0.8, 0.2)
    assert found.p95_ms == 74


@pytest.mark.django_db
def test_nothing_counted_has_no_rates() -> None:
    found = health.last_hours(NOW)

    assert (found.messages, found.delivery_rate, found.p95_ms, found.fallback_rate, found.as_of) == (0, *[None] * 4)
