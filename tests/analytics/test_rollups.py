import threading
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection

from analytics import counting, rollups
from analytics.models import HourlyRollup, RollupState
from delivery.models import Device, PushNotificationLog, Site
from tests.analytics import record

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)  # the day on which Europe's clocks go forward
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    """The database's time, set by hand."""
    hands = Clock()
    monkeypatch.setattr("delivery.clocks.db_now", lambda: hands.now)
    return hands


class Clock:
    now = NOON


def one(hour: datetime, provider: str = "fcm") -> HourlyRollup:
    return HourlyRollup.objects.get(hour=hour, provider=provider)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(5))
def test_a_recount_from_raw_rows_equals_the_rollups(clock: Clock, seed: int) -> None:
    record.random_day(Random(seed), NOON - timedelta(hours=6), hours=6, messages=150)
    clock.now = NOON + timedelta(hours=9)

    rollups.roll_up()

    assert record.counted() == record.recounted()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(3))
def test_the_rollups_follow_a_record_that_goes_on(clock: Clock, seed: int) -> None:
    rng = Random(seed)
    devices = [record.device() for _ in range(4)]

    for turn in range(1, 41):
        clock.now += timedelta(minutes=rng.choice([1, 5, 7, 55, 180]))
        _live_on(rng, clock.now, devices)
        rollups.roll_up()

        if turn % 8 == 0:
            assert record.counted() == record.recounted()


def _live_on(rng: Random, now: datetime, devices: list[Device]) -> None:
    """Messages are born (some for a job of hours ago), tried, handed over, acked late, expired, cancelled."""
    for device in devices:
        record.message(device, now - timedelta(minutes=rng.choice([0, 1, 200])), born_at=now)
    for push in rng.sample(list(PushNotificationLog.objects.order_by("id")), 4):
        rows = PushNotificationLog.objects.filter(pk=push.pk)
        match push.status, rng.choice(["try", "detour", "hand over", "end", "ack"]):
            case "pending", "try":
                record.refuse(push, now, provider=push.provider)
                rows.update(provider="mqtt", fallback_from=push.provider)
            case "pending", "detour":
                rows.update(provider=rng.choice(record.PROVIDERS), fallback_from=push.provider)
            case "pending", "hand over":
                rows.update(status="sent", sent_at=now)
            case (("pending" | "sent"), "end"):
                rows.update(status=rng.choice(["expired", "failed", "cancelled"]), expired_at=now)
            case (("sent" | "expired" | "failed" | "cancelled"), "ack") if not push.receipts.exists():
                record.acknowledge(push, now, latency_ms=rng.randrange(10_000))
            case _:
                pass


@pytest.mark.django_db
def test_twice_gives_the_same_rows(clock: Clock) -> None:
    record.random_day(Random(1), NOON - timedelta(hours=2), hours=2, messages=40)
    rollups.roll_up()
    before = record.counted()

    rollups.roll_up()

    assert record.counted() == before


@pytest.mark.django_db
def test_a_late_ack_corrects_its_hour(clock: Clock) -> None:
    push = record.message(record.device(), NOON, status="expired", sent_at=NOON, expired_at=NOON + 5 * MINUTE)
    clock.now = NOON + 6 * MINUTE
    rollups.roll_up()
    assert (one(NOON).expired, one(NOON).late) == (1, 0)
    clock.now = NOON + timedelta(days=3)
    record.acknowledge(push, clock.now, latency_ms=259_200_000)

    rollups.roll_up()

    assert (one(NOON).expired, one(NOON).late) == (0, 1)


@pytest.mark.django_db
def test_what_a_provider_in_an_outage_lost_to_another_is_in_its_attempts(clock: Clock) -> None:
    sent: dict[str, Any] = {"provider": "mqtt", "fallback_from": "fcm", "status": "sent", "sent_at": NOON + MINUTE}
    record.refuse(record.message(record.device(), NOON, **sent), NOON, provider="fcm", outcome="retry")

    rollups.roll_up()

    assert (one(NOON).ordered, one(NOON).attempted, one(NOON).refused) == (0, 1, {"retry": 1})
    moved = one(NOON, "mqtt")
    assert (moved.ordered, moved.fallback, moved.accepted, moved.retries) == (1, 1, 1, 1)


@pytest.mark.django_db
def test_a_message_that_nobody_took_counts_under_the_first_provider(clock: Clock) -> None:
    push = record.message(record.device(), NOON, provider="mqtt", fallback_from="apns", status="failed")
    record.refuse(push, NOON, provider="fcm")
    record.refuse(push, NOON, provider="apns")

    rollups.roll_up()

    assert one(NOON).failed == 1
    assert one(NOON, "apns").ordered == 0


@pytest.mark.django_db
def test_the_parts_sum_to_what_was_ordered(clock: Clock) -> None:
    till = record.device(Site.objects.create(site_id="s", name="S"))
    for status in ("pending", "sent", "failed", "cancelled", "skipped"):
        record.message(till, NOON, status=status)

    rollups.roll_up()

    assert (one(NOON).ordered, one(NOON).open) == (5, 2)


@pytest.mark.django_db
def test_a_run_that_died_is_made_up_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    record.random_day(Random(2), NOON - timedelta(hours=3), hours=3, messages=40)
    with monkeypatch.context() as patch:
        patch.setattr(counting, "_attempts", _die)
        with pytest.raises(SystemError):
            rollups.roll_up()
    clock.now += timedelta(hours=9)

    rollups.roll_up()

    assert record.counted() == record.recounted()


def _die(*_: object) -> None:
    raise SystemError


@pytest.mark.django_db
def test_hours_missed_while_beat_was_down_are_made_up_for(clock: Clock) -> None:
    rollups.roll_up()
    till = record.device()
    for hours in range(5):
        record.message(till, NOON + timedelta(hours=hours), status="expired", expired_at=NOON + timedelta(hours=hours))
    clock.now = NOON + timedelta(hours=5)

    rollups.roll_up()

    assert HourlyRollup.objects.filter(expired=1).count() == 5


@pytest.mark.django_db
def test_an_hour_in_which_nothing_changes_is_not_counted_again(clock: Clock) -> None:
    record.message(record.device(), NOON, status="sent", sent_at=NOON)
    clock.now = NOON + timedelta(hours=2)
    rollups.roll_up()
    before = RollupState.objects.get(hour=NOON).counted_at
    clock.now = NOON + timedelta(hours=3)

    rollups.roll_up()

    assert RollupState.objects.get(hour=NOON).counted_at == before


@pytest.mark.django_db(transaction=True)
def test_two_at_once_give_the_same_rows() -> None:
    record.random_day(Random(3), datetime.now(UTC) - timedelta(hours=20), hours=3, messages=120)
    start, errors = threading.Barrier(2), []

    def run() -> None:
        try:
            start.wait()
            rollups.roll_up()
        except Exception as error:  # noqa: BLE001  (any of them fails the test, in the thread that asserts)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert record.counted() == record.recounted()
