"""What sweeps and pages ask of a large job costs no more than what they ask of a small one."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext

from delivery import clocks, gate, jobs, sweeps
from delivery.models import Job, ProviderState, PushNotificationLog
from tests.delivery.rows import a_channel, messages

pytestmark = pytest.mark.django_db
LOG = PushNotificationLog.objects


@pytest.fixture(autouse=True)
def nothing_rests() -> Iterator[None]:
    caches["local"].clear()
    yield
    caches["local"].clear()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs whose rows were counted."""
    asked: list[str] = []
    count = jobs.count

    def note(job_id: str) -> dict[str, int]:
        asked.append(job_id)
        return count(job_id)

    monkeypatch.setattr(jobs, "count", note)
    return asked


def end_all() -> None:
    LOG.update(status="delivered", next_attempt_at=None)


def test_a_job_is_not_counted_while_one_of_its_messages_is_open(counted: list[str]) -> None:
    [_, last] = messages(2)
    LOG.exclude(pk=last.pk).update(status="delivered")

    assert sweeps.settle_jobs() == 0
    assert counted == []

    end_all()
    assert sweeps.settle_jobs() == 1
    assert counted == [last.job_id]


def test_a_message_that_expires_at_another_time_than_its_job_keeps_it_open_too() -> None:
    [row] = messages()
    LOG.update(expires_at=row.expires_at + timedelta(seconds=1))

    assert sweeps.settle_jobs() == 0

    job = Job.objects.get(job_id=row.job_id)
    assert (job.status, job.frozen_progress) == ("running", None)


def test_a_job_that_late_acks_thaw_is_counted_again_only_after_a_while(
    counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REST_PER_MESSAGE_S", 100.0)
    [row] = messages()
    end_all()
    assert sweeps.settle_jobs() == 1
    assert row.job_id is not None
    Job.objects.thaw([row.job_id])

    assert sweeps.settle_jobs() == 0
    caches["local"].clear()
    assert sweeps.settle_jobs() == 1

    assert len(counted) == 2


def test_the_progress_of_a_large_job_serves_for_longer(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PROGRESS_FRESH_S", 0.0)
    [row] = messages()
    job = Job.objects.get(job_id=row.job_id)

    jobs.progress(job)
    monkeypatch.setattr(jobs, "REST_PER_MESSAGE_S", 100.0)
    jobs.progress(job)
    jobs.progress(job)

    assert len(counted) == 2


@pytest.mark.postgres_only
def test_an_open_message_of_a_job_is_found_without_its_other_rows() -> None:
    [row] = messages()
    assert row.job_id is not None
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as asked:
        found = LOG.surely_open({row.job_id: row.expires_at, "another": row.expires_at})

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked[-1]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert found == {row.job_id}
    assert "push_log_open_idx" in plan
    assert "one_message_per_job_and_device" not in plan


def test_what_has_no_other_way_is_left_as_it_is_behind_a_closed_gate() -> None:
    with_another, without = messages(2)
    a_channel(with_another.device, "mqtt", 1)
    now = clocks.db_now()
    gate.pause("simulation", "default", why="503", now=now, seconds=60)
    ProviderState.objects.update(opened_at=now - gate.LONG_CLOSED)

    assert sweeps.detour() == 1

    stays = LOG.get(pk=without.pk)
    assert (stays.provider, stays.next_attempt_at) == ("simulation", without.next_attempt_at)
