"""Pausing, resuming, calling off and trying again; each against a second connection too."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from delivery import clocks, fanout, in_flight, inbox, job_control, jobs, sending, sweeps
from delivery.models import AuditLog, Device, Job, PushNotificationLog
from delivery.models.job import PAUSED_UNTIL
from delivery.models.push_log_rows import Again, Sent
from tests import races
from tests.delivery.rows import a_device, a_job, a_site, claim, messages

pytestmark = pytest.mark.django_db(transaction=True)

LOG = PushNotificationLog.objects
ACTOR = "person:test"


def job_of(row: PushNotificationLog) -> Job:
    return Job.objects.get(job_id=row.job_id)


def pause(job: Job) -> bool:
    return job_control.pause(job, actor=ACTOR)


def resume(job: Job) -> bool:
    return job_control.resume(job, actor=ACTOR)


def cancel(job: Job) -> bool:
    return job_control.cancel(job, actor=ACTOR)


def audited() -> list[tuple[str, str]]:
    return list(AuditLog.objects.order_by("id").values_list("action", "actor"))


def test_a_paused_message_is_neither_due_nor_expiring() -> None:
    [row] = messages(1, ttl_s=60)

    paused = pause(job_of(row))

    a_year_on = clocks.db_now() + timedelta(days=366)
    assert (paused, job_of(row).status) == (True, "paused")
    assert not LOG.due(a_year_on).exists()
    assert LOG.expire(a_year_on, limit=10) == 0
    assert claim(uuid4(), at_s=366 * 86_400) == []


def test_resuming_restores_what_was_left_of_the_wait_and_of_the_life() -> None:
    waits, due = messages(2, ttl_s=300)
    LOG.filter(pk=waits.pk).update(next_attempt_at=clocks.db_now() + timedelta(seconds=50))
    Job.objects.pause(waits.job_id or "", now := clocks.db_now())
    LOG.park(waits.job_id or "", now=now)
    due.refresh_from_db()
    waits.refresh_from_db()
    assert waits.paused
    assert due.paused

    later = now + timedelta(hours=5)
    LOG.unpark(waits.job_id or "", now=later)

    waits.refresh_from_db()
    due.refresh_from_db()
    left_s = [(row.expires_at - later).total_seconds() for row in (waits, due)]
    assert left_s == pytest.approx([300, 300], abs=2)
    assert waits.next_attempt_at is not None
    assert due.next_attempt_at is not None
    assert (waits.next_attempt_at - later).total_seconds() == pytest.approx(50, abs=2)
    assert due.next_attempt_at <= later


def test_a_paused_message_does_not_leave_the_inbox_until_it_is_resumed() -> None:
    device = a_device(key="key")
    job = a_job(target={"devices": [device.device_id]}, last_device=device.pk)
    fanout.fan_out_chunk()
    pause(job)

    while_paused = inbox.hand_out(device.device_id)
    [row] = LOG.all()
    handed_out_anyway = LOG.hand_out(device.device_id, [row.pk], clocks.db_now())
    resume(job)
    row.refresh_from_db()
    due_after = row.next_attempt_at
    afterwards = inbox.hand_out(device.device_id)

    assert (while_paused, handed_out_anyway, due_after) == ([], 0, None)
    assert [message.message_id for message in afterwards] == [str(row.message_id)]


def test_rows_that_are_written_after_a_pause_live_as_long_as_ordered() -> None:
    device = a_device()
    an_hour_ago = clocks.db_now() - timedelta(hours=1)
    job = a_job(now=an_hour_ago, target={"all": True}, last_device=device.pk, ttl_s=60)
    Job.objects.pause(job.job_id, an_hour_ago)
    nothing = fanout.fan_out_chunk()

    resume(job)
    fanout.fan_out_chunk()

    [row] = LOG.all()
    assert nothing is None
    assert 50 < (row.expires_at - clocks.db_now()).total_seconds() <= 61


def test_what_a_worker_gives_back_of_a_paused_job_is_parked_by_the_sweep() -> None:
    [row] = messages(1)
    claim(token := uuid4())
    pause(job_of(row))
    row.refresh_from_db()
    left_to_its_holder = row.paused is False
    LOG.mark_due_again(
        [Again(row.pk, row.provider, row.credential, row.channel_id, clocks.db_now(), 1, "", "503", "")], token=token
    )

    swept = [job_control.hold_back(), job_control.hold_back()]

    row.refresh_from_db()
    assert left_to_its_holder
    assert swept == [1, 0]
    assert row.paused
    assert row.status == "pending"


@pytest.mark.parametrize("stop", [pause, cancel])
def test_nothing_is_sent_of_a_job_that_was_stopped_after_its_rows_were_claimed(stop: Callable[[Job], bool]) -> None:
    [row] = messages(1)
    [claimed] = claim(uuid4())
    stop(job_of(row))

    [draft] = sending._drafts(in_flight.Batch([claimed], uuid4(), clocks.db_now(), 0.0))

    assert draft.held_back


def test_a_message_that_is_called_off_may_still_be_accepted_and_acked_by_its_device() -> None:
    held, waiting = messages(2)
    claim(token := uuid4(), limit=1)
    cancel(job_of(held))
    LOG.mark_sent([Sent(held.pk, clocks.db_now(), "p-1", "")], token=token)

    held.refresh_from_db()
    waiting.refresh_from_db()
    assert (held.status, waiting.status, waiting.error_code) == ("sent", "cancelled", "cancelled")
    assert job_control.hold_back() == 1
    held.refresh_from_db()
    assert held.status == "cancelled"


def test_cancelling_a_paused_job_leaves_no_message_in_the_year_9999() -> None:
    [row] = messages(1)
    pause(job_of(row))

    cancel(job_of(row))

    row.refresh_from_db()
    assert (row.status, row.paused) == ("cancelled", False)
    assert job_of(row).status == "cancelled"


def test_a_cancelled_job_writes_no_further_rows_and_its_count_is_final() -> None:
    a_device()
    job = a_job(target={"all": True})

    cancel(job)
    written = fanout.fan_out_chunk()
    settled = sweeps.settle_jobs()

    job.refresh_from_db()
    assert (written, settled, job.status) == (None, 1, "cancelled")
    assert job.frozen_progress is not None


def test_a_job_that_ended_while_it_was_paused_completes_once_resumed() -> None:
    [row] = messages(1)
    job = job_of(row)
    LOG.update(status="delivered")
    pause(job)
    sweeps.settle_jobs()

    resume(job)
    sweeps.settle_jobs()

    job.refresh_from_db()
    assert job.status == "completed"


def test_a_retry_reaches_exactly_the_failed_and_expired_devices() -> None:
    rows = messages(5)
    for row, status in zip(rows, ["failed", "expired", "delivered", "cancelled", "skipped"], strict=True):
        LOG.filter(pk=row.pk).update(status=status)
    sweeps.settle_jobs()

    again = job_control.retry_failed(job_of(rows[0]), reach=None, actor=ACTOR)
    fanout.fan_out_chunk()

    assert again is not None
    assert again.payload == job_of(rows[0]).payload
    assert {row.device_id for row in LOG.filter(job=again)} == {rows[0].device_id, rows[1].device_id}
    assert jobs.count(rows[0].job_id or "")["failed"] == 1


def test_a_retry_stays_within_the_reach_of_whoever_asks() -> None:
    near, _ = messages(2)
    LOG.update(status="failed")
    Device.objects.filter(device_id=near.device_id).update(site=a_site())
    sweeps.settle_jobs()

    again = job_control.retry_failed(job_of(near), reach=["site-1"], actor=ACTOR)
    fanout.fan_out_chunk()

    assert [row.device_id for row in LOG.filter(job=again)] == [near.device_id]


def test_two_who_retry_at_once_get_the_same_new_job() -> None:
    [row] = messages(1)
    LOG.update(status="failed")
    sweeps.settle_jobs()

    def retry() -> str:
        again = job_control.retry_failed(job_of(row), reach=None, actor=ACTOR)
        return again.job_id if again else ""

    assert len(set(races.at_once(retry, retry, retry))) == 1
    assert Job.objects.filter(retry_of=job_of(row)).count() == 1


@pytest.mark.parametrize("status", ["queued", "running", "paused", "cancelled"])
def test_only_a_completed_job_is_retried(status: str) -> None:
    [row] = messages(1)
    LOG.update(status="failed")
    Job.objects.update(status=status)

    assert job_control.retry_failed(job_of(row), reach=None, actor=ACTOR) is None


def test_a_job_that_reached_everybody_is_not_retried() -> None:
    [row] = messages(1)
    LOG.update(status="delivered")
    sweeps.settle_jobs()

    assert job_control.retry_failed(job_of(row), reach=None, actor=ACTOR) is None


def test_each_act_is_in_the_audit_log_once() -> None:
    [row] = messages(1)
    job = job_of(row)

    done = [pause(job), pause(job), resume(job), resume(job), cancel(job), cancel(job), pause(job), resume(job)]

    assert done == [True, False, True, False, True, False, False, False]
    assert audited() == [("paused", ACTOR), ("resumed", ACTOR), ("cancelled", ACTOR)]


Act = Callable[[Job], bool]
RACES: list[tuple[list[Act], Act, Act, bool, str]] = [
    # what was done before, who commits first, who comes second, whether the second did it, the status in the end
    ([], pause, pause, False, "paused"),
    ([], pause, cancel, True, "cancelled"),
    ([], cancel, pause, False, "cancelled"),
    ([], cancel, cancel, False, "cancelled"),
    ([], pause, resume, True, "running"),
    ([pause], resume, resume, False, "running"),
    ([pause], resume, cancel, True, "cancelled"),
    ([pause], cancel, resume, False, "cancelled"),
]


@pytest.mark.parametrize(("before", "first", "second", "did", "status"), RACES)
def test_the_second_of_two_connections_sees_what_the_first_committed(
    before: list[Act], first: Act, second: Act, did: bool, status: str
) -> None:
    [row] = messages(1)
    for act in before:
        act(job_of(row))

    with races.rival() as rival:
        assert rival.does(lambda: first(job_of(row)))
        other = races.started(lambda: second(job_of(row)))
        rival.commit()
        result = other.result(30)

    row.refresh_from_db()
    assert (result, job_of(row).status) == (did, status)
    assert (row.expires_at >= PAUSED_UNTIL) is (status == "paused")


def test_a_chunk_that_is_being_written_when_the_job_is_paused_is_parked_with_the_rest() -> None:
    device = a_device()
    job = a_job(target={"all": True}, last_device=device.pk)

    with races.rival() as rival:
        assert rival.does(fanout.fan_out_chunk) == 1
        other = races.started(lambda: pause(Job.objects.get(pk=job.pk)))
        rival.commit()
        paused = other.result(30)

    [row] = LOG.all()
    assert paused
    assert row.paused
