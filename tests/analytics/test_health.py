from datetime import UTC, datetime, timedelta

import pytest

from analytics import definitions, health, latency
from analytics.models import HourlyRollup

NOW = datetime(2026, 3, 29, 12, 34, tzinfo=UTC)


def rollup(hours_ago: int, provider: str = "fcm", **fields: object) -> None:
    hour = NOW.replace(minute=0) - timedelta(hours=hours_ago)
    HourlyRollup.objects.create(hour=hour, provider=provider, **fields)


@pytest.mark.django_db
def test_sums_the_hours_asked_for_and_no_older_one() -> None:
    rollup(0, ordered=10, handed_over=8, delivered=6, fallback=2, latency=latency.histogram([74] * 19))
    rollup(23, ordered=10, handed_over=2, delivered=2, latency=latency.histogram([1000]))
    rollup(24, ordered=10, handed_over=10, fallback=10, latency=latency.histogram([5000] * 1000))

    found = health.total(health.by(health.between(NOW - timedelta(hours=23), NOW)).values())

    assert (found["ordered"], found.rate(definitions.DELIVERY_RATE)) == (20, 0.8)
    assert found.rate(definitions.FALLBACK_RATE) == 0.2
    assert found.percentile_ms(0.95) == 74


@pytest.mark.django_db
def test_the_database_sums_as_python_does() -> None:
    rollup(0, ordered=10, delivered=6, failed=1, attempted=12, accepted=9, refused={"retry": 3})
    rollup(1, ordered=5, delivered=5, attempted=5, accepted=5)
    rollup(1, "mqtt", ordered=7, expired=7, attempted=7, accepted=7)
    rollups = HourlyRollup.objects.all()

    summed, one_by_one = health.summed(rollups, "provider"), health.by(rollups, "provider")

    assert {key: found.counts for key, found in summed.items()} == {
        key: found.counts for key, found in one_by_one.items()
    }
    assert health.total(summed.values()).counts == health.total(one_by_one.values()).counts
    assert summed["fcm",]["refused"] == sum(one_by_one["fcm",].refused.values()) == 3


@pytest.mark.django_db
def test_nothing_counted_has_no_rates() -> None:
    found = health.total(health.by(health.between(NOW - timedelta(hours=23), NOW)).values())

    assert found["ordered"] == 0
    assert set(found.rates.values()) == {None}
    assert found.percentile_ms(0.95) is None
    assert health.as_of(NOW, NOW + timedelta(hours=1)) is None
