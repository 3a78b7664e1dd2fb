"""What is kept of all sites together is the sum of their rollups, and nothing once an hour is counted again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from django.db.models import QuerySet

from analytics import health, rollups
from analytics.counting import HOUR
from analytics.models import HourlyRollup, HourlyTotal, RollupState
from tests.analytics import record

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
END = NOON + 9 * HOUR


@pytest.fixture(autouse=True)
def a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.clocks.db_now", lambda: END)
    record.random_day(Random(1), NOON - 6 * HOUR, hours=6, messages=300)
    rollups.roll_up()


def of_all() -> tuple[object, object]:
    """By all sites together, and site by site."""
    first = NOON - 6 * HOUR
    together = health.everywhere(first, END, "hour", "provider")
    return together, health.by(health.between(first, END), "hour", "provider")


def test_says_what_the_rollups_say() -> None:
    assert HourlyRollup.objects.count() > HourlyTotal.objects.count() > 20

    together, site_by_site = of_all()

    assert together == site_by_site


def test_is_kept_for_each_provider_alone_too() -> None:
    together = health.everywhere(NOON - 6 * HOUR, END, "provider", provider="fcm")

    assert together == health.by(health.between(NOON - 6 * HOUR, END).filter(provider="fcm"), "provider")


@pytest.mark.parametrize("lost", [HourlyTotal.objects.all, lambda: HourlyTotal.objects.filter(hour__lt=NOON - HOUR)])
def test_where_there_is_none_the_rollups_are_read(lost: Callable[[], QuerySet[HourlyTotal]]) -> None:
    lost().delete()

    together, site_by_site = of_all()

    assert together == site_by_site


def test_counts_no_more_once_its_hour_was_counted_again() -> None:
    hour = NOON - HOUR
    HourlyRollup.objects.filter(hour=hour).update(ordered=1_000)
    RollupState.objects.filter(hour=hour).update(counted_at=END + timedelta(seconds=1))

    together, site_by_site = of_all()

    assert together == site_by_site


def test_goes_with_what_was_counted_before() -> None:
    hour = NOON - HOUR
    for provider in ("fcm", "gone"):
        HourlyTotal.objects.update_or_create(
            hour=hour, provider=provider, defaults={"counted_at": END, "sums": {"ordered": 7}}
        )
    rollups.mark([hour])

    rollups.roll_up()

    assert not HourlyTotal.objects.filter(provider="gone").exists()
    together, site_by_site = of_all()
    assert together == site_by_site
