"""What is old goes, and the numbers stay what they were."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from analytics import pruning, recount, rollups
from analytics.management.commands import verify_rollups
from analytics.models import HourlyRollup, RollupState
from delivery import clocks
from delivery.models import DeliveryAttempt, Job, PushNotificationLog, Receipt
from delivery.pruning import Pace, delete_messages
from tests import races
from tests.analytics import record
from tests.delivery.rows import a_job

pytestmark = pytest.mark.django_db
RACE = pytest.mark.django_db(transaction=True)
"""Between connections, or with a snapshot of its own."""

DAYS = 1
HOUR = timedelta(hours=1)
AT_ONCE = Pace(batch=3, pause_s=0.0)


@pytest.fixture
def old() -> datetime:
    """The first moment of an hour that is older than the log is kept here."""
    return rollups.hour_of(clocks.db_now()) - timedelta(hours=30)


def prune() -> Counter[str]:
    return pruning.prune(AT_ONCE, clocks.db_now(), DAYS)


def count_again() -> None:
    """Every hour that may still be counted."""
    RollupState.objects.filter(sealed_at=None).update(dirty=True)
    for hour in list(RollupState.objects.to_count().values_list("hour", flat=True)):
        rollups.count_hour(hour)


def count(hour: datetime) -> None:
    """Only this hour."""
    RollupState.objects.create(hour=hour, looked_at=clocks.db_now())
    rollups.count_hour(hour)


def an_ended_message(at: datetime, **fields: Any) -> PushNotificationLog:
    values: dict[str, Any] = {"status": "delivered", "sent_at": at, "acked_at": at}
    return record.message(record.device(), at, **values | fields)


def left() -> int:
    return PushNotificationLog.objects.count()


def test_messages_go_with_their_receipts_and_attempts_and_the_numbers_stay(old: datetime) -> None:
    push = an_ended_message(old)
    record.refuse(push, old)
    record.acknowledge(push, old)
    count(old)
    before = record.counted()

    gone = prune()

    assert gone == {"messages": 1, "receipts": 1, "attempts": 1}
    assert (left(), Receipt.objects.count(), DeliveryAttempt.objects.count()) == (0, 0, 0)
    assert record.counted() == before


def test_a_young_message_stays(old: datetime) -> None:
    an_ended_message(old)
    young = an_ended_message(clocks.db_now() - timedelta(hours=23))
    count(old)

    prune()

    assert list(PushNotificationLog.objects.all()) == [young]


def lately() -> datetime:
    return clocks.db_now() - timedelta(hours=3)


KEPT: dict[str, Callable[[PushNotificationLog], object]] = {
    "it is open": lambda push: set_(push, status="sent"),
    "it was sent lately": lambda push: set_(push, sent_at=lately()),
    "it was acked lately": lambda push: set_(push, acked_at=lately()),
    "it was tried lately": lambda push: record.refuse(push, lately()),
    "it failed, and its time was over lately": lambda push: set_(push, status="failed", expires_at=lately()),
    "its order is not written yet": lambda push: a_job(now=push.created_at),
    "its order's retry is not written yet": lambda push: a_job(
        now=lately(), retry_of=a_job(now=push.created_at, fanned_out_at=lately())
    ),
}


def set_(push: PushNotificationLog, **fields: object) -> None:
    PushNotificationLog.objects.filter(pk=push.pk).update(**fields)


@pytest.mark.parametrize("why", KEPT)
def test_a_whole_hour_stays_because_of_one_message(old: datetime, why: str) -> None:
    an_ended_message(old)
    KEPT[why](an_ended_message(old))
    count(old)

    prune()

    assert left() == 2
    assert not RollupState.objects.sealed().filter(hour=old).exists()


def test_what_arrived_long_ago_does_not_wait_for_its_time_to_live(old: datetime) -> None:
    an_ended_message(old, expires_at=clocks.db_now() + timedelta(days=20))
    count(old)

    prune()

    assert left() == 0


@pytest.mark.parametrize("state", [{"dirty": True}, {"counted_at": None}])
def test_an_hour_that_is_still_to_be_counted_stays(old: datetime, state: dict[str, Any]) -> None:
    an_ended_message(old)
    count(old)
    RollupState.objects.filter(hour=old).update(**state)

    prune()

    assert left() == 1


def test_an_hour_waits_for_the_later_one_in_which_its_messages_were_tried(old: datetime) -> None:
    record.refuse(an_ended_message(old), old + 2 * HOUR)
    record.message(record.device(), old + 2 * HOUR, status="pending")
    an_ended_message(old + 3 * HOUR)
    rollups.roll_up()

    prune()
    count_again()

    assert set(PushNotificationLog.objects.values_list("created_at", flat=True)) == {old, old + 2 * HOUR}
    assert record.counted()[old + 2 * HOUR] == record.recounted()[old + 2 * HOUR]


def test_what_came_since_the_last_count_is_counted_as_the_hour_is_sealed(old: datetime) -> None:
    push = an_ended_message(old, status="expired", acked_at=None)
    count(old)
    set_(push, status="delivered", acked_at=old + HOUR, expired_at=old)

    prune()

    assert HourlyRollup.objects.get(hour=old).late == 1


def test_a_sealed_hour_is_never_counted_again(old: datetime) -> None:
    an_ended_message(old)
    count(old)
    prune()
    before = record.counted()

    rollups.mark([old])
    rollups.roll_up()

    assert record.counted() == before
    assert not RollupState.objects.to_count().filter(hour=old).exists()


@RACE
def test_hours_whose_rows_are_gone_are_not_verified_and_the_others_equal_theirs(old: datetime) -> None:
    an_ended_message(old)
    record.refuse(record.message(record.device(), old + HOUR, status="sent"), old + 2 * HOUR)
    hours = [old, old + HOUR, old + 2 * HOUR]
    for hour in hours:
        count(hour)
    prune()

    verified = [hour for hour in verify_rollups._hours(None) if hour in hours]

    assert left() == 1
    assert verified == hours[1:2]
    assert verify_rollups.compare(old + HOUR, recount.last_sent()) == []


def test_numbers_of_random_days_outlive_their_rows(old: datetime) -> None:
    record.random_day(Random(11), old - 9 * HOUR, hours=8, messages=14)
    rollups.roll_up()
    before = record.counted()

    prune()
    count_again()

    assert 0 < left() < 14, "hours with an open message stay"
    assert {hour: rows for hour, rows in record.counted().items() if rows} == {
        hour: rows for hour, rows in before.items() if rows
    }


@RACE
def test_two_at_once_delete_each_message_once(old: datetime) -> None:
    for _ in range(20):
        record.acknowledge(an_ended_message(old), old)
    count(old)

    gone = races.at_once(prune, prune)
    again = prune()

    assert sum((*gone, again), Counter()) == {"messages": 20, "receipts": 20}
    assert left() == 0


def test_one_that_ended_in_the_middle_is_finished_by_the_next(old: datetime) -> None:
    for _ in range(10):
        record.acknowledge(an_ended_message(old), old)
    count(old)
    before = record.counted()
    list(pruning.seal(clocks.db_now() - timedelta(days=DAYS), AT_ONCE))
    next(delete_messages(old, old + HOUR, AT_ONCE))
    half = left()

    rollups.mark([old])
    rollups.roll_up()
    prune()

    assert (half, left(), Receipt.objects.count()) == (7, 0, 0)
    assert record.counted() == before


@RACE
@pytest.mark.postgres_only
def test_a_row_that_somebody_holds_is_left_to_the_next_run(old: datetime) -> None:
    held, _ = an_ended_message(old), an_ended_message(old)
    count(old)

    with races.rival() as other:
        other.does(lambda: PushNotificationLog.objects.select_for_update().get(pk=held.pk))
        prune()

    assert list(PushNotificationLog.objects.all()) == [held]


def test_a_dry_run_counts_what_goes_and_changes_nothing(old: datetime) -> None:
    for hour in range(3):
        at = old - timedelta(days=10) + hour * HOUR
        an_ended_message(at)
        count(at)
    a_job(now=old - timedelta(days=60), fanned_out_at=old, status="completed", completed_at=old, frozen_progress={})
    said = StringIO()

    call_command("prune", "--dry-run", "--days", "7", stdout=said)

    assert left() == 3
    assert not RollupState.objects.sealed().exists()
    assert "3 messages" in said.getvalue()
    assert "1 orders" in said.getvalue()
    assert pruning.preview(clocks.db_now(), 7)["messages"] == pruning.prune(AT_ONCE, clocks.db_now(), 7)["messages"]


def test_the_command_says_what_it_does_and_sums_up(old: datetime) -> None:
    an_ended_message(old - timedelta(days=8))
    count(old - timedelta(days=8))
    said, progress = StringIO(), StringIO()

    call_command("prune", "--days", "7", stdout=said, stderr=progress)

    assert "1 messages" in said.getvalue()
    assert f"messages of {old - timedelta(days=8):%Y-%m-%d %H}h; 1 so far" in progress.getvalue()


def test_a_log_that_is_too_short_is_refused() -> None:
    with pytest.raises(CommandError, match="--days must be 7 at least"):
        call_command("prune", "--days", "6")


def test_a_late_ack_of_what_is_gone_is_answered_as_any_unknown_one(old: datetime, client: Client) -> None:
    push = an_ended_message(old)
    count(old)
    prune()

    answers = [
        client.post(
            "/api/v1/push/ack",
            {"message_id": str(message_id), "device_id": push.device_id},
            content_type="application/json",
        )
        for message_id in (push.message_id, uuid4())
    ]

    assert len({(answer.status_code, answer.content.replace(b" ", b"")) for answer in answers}) == 1
    assert not Receipt.objects.exists()


def test_numbers_are_kept_for_ever_unless_told_otherwise(old: datetime, settings: Settings) -> None:
    an_ended_message(old)
    count(old)
    prune()
    counted = HourlyRollup.objects.filter(hour=old).count()

    settings.ROLLUP_DAYS = 1
    prune()

    assert (counted, HourlyRollup.objects.filter(hour=old).count()) == (1, 0)
    assert RollupState.objects.sealed().filter(hour=old).exists()


def test_a_sweep_that_has_much_to_do_leaves_it_to_the_next(
    old: datetime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RAW_LOG_DAYS = DAYS
    an_ended_message(old)
    count(old)
    monkeypatch.setattr(pruning, "BUDGET_S", -1.0)
    in_no_time = pruning.sweep()

    monkeypatch.setattr(pruning, "BUDGET_S", 30.0)
    then = pruning.sweep()

    assert (in_no_time, then, Job.objects.count()) == (0, 1, 0)
