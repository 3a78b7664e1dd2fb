"""What Celery does around a task, as far as it is ours to say."""

import pytest
from celery.fixups.django import DjangoWorkerFixup  # type: ignore[attr-defined]
from celery.signals import task_postrun, task_prerun
from django.db import OperationalError, connection

from celery_app import app
from tests.races import at_once


def around_a_task() -> None:
    """What a worker process does after one task and before the next."""
    fixup = DjangoWorkerFixup(app)
    for signal in (task_postrun, task_prerun):
        fixup.close_database()
        signal.send(sender=None)


def end_session(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_a_worker_keeps_its_database_connection_from_task_to_task() -> None:
    connection.ensure_connection()
    before = connection.connection

    around_a_task()

    assert connection.connection is before


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_database_has_closed_is_replaced_before_the_next_task() -> None:
    connection.ensure_connection()
    before = connection.connection
    at_once(lambda: end_session(before.info.backend_pid))
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT 1")

    around_a_task()

    assert connection.connection is None
