"""Each transition of a job against a second connection: the row count says who won."""

from collections.abc import Callable

import pytest

from delivery import clocks
from delivery.models import Job
from tests import races
from tests.delivery.rows import a_job

pytestmark = pytest.mark.django_db(transaction=True)


def do_advance(job: Job) -> int:
    return Job.objects.advance(job.job_id, from_cursor=0, to_cursor=500)


def do_finish(job: Job) -> int:
    return Job.objects.finish_fan_out(job.job_id, clocks.db_now())


def do_complete(job: Job) -> int:
    return Job.objects.complete(job.job_id, {"targeted": 0}, clocks.db_now())


def do_thaw(job: Job) -> int:
    return Job.objects.thaw([job.job_id])


def queued() -> Job:
    return a_job()


def running() -> Job:
    """All its rows are written."""
    job = a_job()
    do_finish(job)
    return job


Verb = Callable[[Job], int]
RACES: list[tuple[Callable[[], Job], Verb, Verb, int, str, bool]] = [
    # the job, who commits first, who comes second, what the second changes, the status in the end, its count frozen?
    (queued, do_advance, do_advance, 0, "running", False),
    (queued, do_advance, do_finish, 1, "running", False),
    (queued, do_finish, do_advance, 0, "running", False),
    (queued, do_finish, do_finish, 0, "running", False),
    (queued, do_advance, do_complete, 0, "running", False),
    (running, do_complete, do_complete, 0, "completed", True),
    (running, do_complete, do_thaw, 1, "completed", False),
    (running, do_thaw, do_complete, 1, "completed", True),
]


@pytest.mark.parametrize(
    ("make", "first", "second", "changed", "status", "frozen"),
    RACES,
    ids=[f"{make.__name__}-{first.__name__[3:]}-then-{second.__name__[3:]}" for make, first, second, *_ in RACES],
)
def test_the_second_of_two_connections_sees_what_the_first_committed(
    make: Callable[[], Job], first: Verb, second: Verb, changed: int, status: str, frozen: bool
) -> None:
    job = make()

    with races.rival() as rival:
        assert rival.does(lambda: first(job)) == 1
        other = races.started(lambda: second(job))
        rival.commit()
        result = other.result(30)

    job.refresh_from_db()
    assert (result, job.status, job.frozen_progress is not None) == (changed, status, frozen)
