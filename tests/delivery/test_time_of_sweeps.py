"""Periodic work by two beats at once, or by one that was down for an hour: each effect once, the same rows."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from redis import Redis

import analytics.tasks  # noqa: F401  (its tasks register themselves)
import delivery.tasks  # noqa: F401
from analytics.models import HourlyRollup, RollupState
from delivery import clocks
from delivery.models import Channel, Claim, Connectivity, Job, PushNotificationLog
from tests import races
from tests.delivery import rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings(r"ignore:\s*The 'queue' task attribute"),  # Celery says so where the tasks are made
]

HOUR_S = 3_600


@pytest.fixture(autouse=True)
def an_hour(broker: Redis) -> None:
    """What gathers while no sweep runs: messages of four hours past their time, and of dead workers; silent devices,
    channels and keys that are to be let go."""
    now = clocks.db_now()
    for hours in range(4):
        rows.messages(3, age_s=hours * HOUR_S + 600, ttl_s=300, prefix=f"till-{hours}")
    held = rows.messages(2, age_s=60, ttl_s=2 * HOUR_S, prefix="held")
    PushNotificationLog.objects.filter(pk__in=rows.ids(held)).update(
        claim_token=held[0].message_id, claimed_until=now - timedelta(seconds=1)
    )
    Claim.objects.create(
        token=held[0].message_id, claimed_until=now - timedelta(seconds=1), held=sorted(rows.ids(held))
    )
    silent = rows.a_device("silent")
    Connectivity.objects.create(device=silent, online_from=now - timedelta(hours=2), last_seen=now - timedelta(hours=1))
    Channel.objects.filter(device__device_id=held[0].device_id).update(
        registered_at=now - timedelta(days=settings.CHANNEL_SILENCE_DAYS + 1)
    )
    rows.a_job(now=now - timedelta(days=settings.IDEMPOTENCY_DAYS + 1), idempotency_key="old", fanned_out_at=now)


def tick() -> bool:
    """One tick of everything that beat gives."""
    for name in settings.CELERY_BEAT_SCHEDULE:
        current_app.tasks[name].run()
    return True


def end() -> dict[str, Any]:
    """The rows, without the moments at which somebody looked."""
    log = PushNotificationLog.objects.order_by("id")
    return {
        "log": list(log.values_list("id", "status", "expired_at", "claim_alone", "lost_claims", "attempt_count")),
        "jobs": list(Job.objects.order_by("id").values_list("id", "status", "frozen_progress", "idempotency_key")),
        "spans": list(Connectivity.objects.values_list("id", "closed_at")),
        "channels": list(Channel.objects.order_by("id").values_list("id", "state")),
        "rollups": [
            {key: value for key, value in row.items() if key != "id"}
            for row in HourlyRollup.objects.order_by("hour", "provider").values()
        ],
        "to count": RollupState.objects.to_count().count(),
    }


@pytest.mark.parametrize(
    "beats",
    [
        lambda: [tick(), tick()],
        lambda: races.at_once(tick, tick),
        lambda: [races.at_once(tick, tick) for _ in range(3)],
    ],
    ids=["one after the other", "two at once", "two at once, three times"],
)
def test_twice_leaves_what_once_leaves(beats: Callable[[], object]) -> None:
    beats()
    tick()  # what one sweep found for another is done by then
    twice = end()

    tick()

    assert end() == twice
    assert [row[1] for row in twice["log"]] == ["expired"] * 12 + ["pending"] * 2
    assert [row[3:5] for row in twice["log"]][-2:] == [(True, 0)] * 2, "each was freed once"
    assert all(closed_at is not None for _, closed_at in twice["spans"])


def test_the_hours_that_were_missed_are_counted() -> None:
    tick()

    counted = HourlyRollup.objects.filter(ordered__gt=0).order_by("hour")
    messages = PushNotificationLog.objects.values_list("created_at", flat=True)
    hours = {at.replace(minute=0, second=0, microsecond=0) for at in messages}
    assert {row.hour for row in counted} == hours
    assert sum(row.expired for row in counted) == 12


def test_what_expired_meanwhile_expired_at_its_own_time() -> None:
    tick()

    for row in PushNotificationLog.objects.filter(status="expired"):
        assert row.expired_at == row.expires_at


@pytest.mark.parametrize("after", range(1, len(settings.CELERY_BEAT_SCHEDULE), 4))
def test_beat_killed_after_any_of_its_ticks_leaves_the_same(after: int) -> None:
    for name in list(settings.CELERY_BEAT_SCHEDULE)[:after]:
        current_app.tasks[name].run()

    tick()
    tick()
    interrupted = end()
    tick()

    assert end() == interrupted
    assert [row[1] for row in interrupted["log"]] == ["expired"] * 12 + ["pending"] * 2
