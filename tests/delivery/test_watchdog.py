"""What counts as waiting for nobody, and what does not."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from delivery import clocks, gate, watchdog
from delivery.models import LastRun, ProviderState, PushNotificationLog
from delivery.models.job import PAUSED_UNTIL
from delivery.priority import Priority
from tests.delivery.rows import a_job, messages

pytestmark = pytest.mark.django_db

QUEUE = "push.simulation"


@pytest.fixture(autouse=True)
def fresh(settings: Settings) -> None:
    settings.STALLED_AFTER_S = 20.0
    watchdog._noted.clear()


def late(count: int = 1, **fields: Any) -> None:
    """Rows that are due for a minute."""
    PushNotificationLog.objects.filter(pk__in=[row.pk for row in messages(count, age_s=60)]).update(**fields)


def stalled() -> list[str]:
    return list(watchdog.stalled(clocks.db_now()))


def test_due_rows_that_nobody_takes_are_stalled() -> None:
    messages(3, age_s=60, priority=Priority.LOW)
    messages(1, age_s=5, priority=Priority.CRITICAL)

    found = watchdog.stalled(clocks.db_now())

    assert found == {QUEUE: pytest.approx(60, abs=5)}


def test_rows_that_wait_for_less_than_the_limit_are_not() -> None:
    messages(3, age_s=10)

    assert stalled() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"next_attempt_at": PAUSED_UNTIL},
        {"claim_alone": True},
        {"status": "sent", "next_attempt_at": None},
        {"provider": "inbox", "credential": "", "next_attempt_at": None},
        {"credential": "of-another-server"},
    ],
    ids=["paused", "to be claimed alone", "sent", "in the inbox", "a credential that is not ours"],
)
def test_rows_that_no_worker_could_take_are_not(fields: dict[str, Any]) -> None:
    late(**fields)

    assert stalled() == []


def test_expired_rows_are_not() -> None:
    messages(1, age_s=60, ttl_s=30)

    assert stalled() == []


def test_rows_behind_a_breaker_are_not() -> None:
    late()
    gate.pause("simulation", "default", why="no_answer", now=clocks.db_now(), seconds=60)

    assert stalled() == []


def test_rows_behind_a_breaker_that_closed_are() -> None:
    late()
    gate.pause("simulation", "default", why="no_answer", now=clocks.db_now(), seconds=60)
    ProviderState.objects.all().close(clocks.db_now())

    assert stalled() == [QUEUE]


def test_a_backlog_that_somebody_works_off_is_not() -> None:
    late(2)
    watchdog.note(QUEUE)

    assert stalled() == []


def test_a_backlog_of_which_somebody_holds_a_part_is_not() -> None:
    late(2)
    now = clocks.db_now()
    PushNotificationLog.objects.claim(
        "simulation", "default", [Priority.NORMAL], limit=1, token=uuid4(), now=now, until=now + timedelta(seconds=60)
    )

    assert stalled() == []


def test_a_backlog_from_which_nothing_was_taken_for_long_is() -> None:
    late(2)
    LastRun.objects.note(QUEUE, clocks.db_now() - timedelta(seconds=40))

    assert stalled() == [QUEUE]


def test_a_job_that_nobody_fans_out_is_stalled() -> None:
    a_job(now=clocks.db_now() - timedelta(seconds=60))

    assert stalled() == ["fanout"]


def test_an_older_run_never_replaces_a_newer_one() -> None:
    now = clocks.db_now()

    written = [LastRun.objects.note(QUEUE, now), LastRun.objects.note(QUEUE, now - timedelta(seconds=1))]

    assert written == [1, 0]
    assert LastRun.objects.get(name=QUEUE).ran_at == now


def test_a_process_notes_the_same_thing_only_now_and_then() -> None:
    watchdog.note(QUEUE)
    LastRun.objects.all().delete()

    watchdog.note(QUEUE)

    assert not LastRun.objects.exists()


def test_sweeps_rest_until_one_ran_lately() -> None:
    never = watchdog.sweeps_rest(clocks.db_now())
    LastRun.objects.note("delivery.rehint", clocks.db_now())
    lately = watchdog.sweeps_rest(clocks.db_now())
    long_ago = watchdog.sweeps_rest(clocks.db_now() + timedelta(minutes=1))

    assert (never, lately, long_ago) == (True, False, True)


def test_a_push_is_no_sweep() -> None:
    watchdog.note(QUEUE)

    assert watchdog.sweeps_rest(clocks.db_now())
