"""The database notes every change of a status, and what the product would never do is seen."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests import servers
from tests.chaos import transitions
from tests.journey.production import Record

TABLE = """
    CREATE TABLE push_notification_logs
    (message_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), job_id text, status text, acked_at timestamptz)
"""


@pytest.fixture(scope="module")
def record(postgres: servers.Postgres) -> Iterator[Record]:
    record = Record(postgres.create_database("transitions"))
    record.execute(TABLE)
    transitions.install(record)
    yield record
    record.close()


class Message:
    """The only one of its job."""

    def __init__(self, record: Record, status: str) -> None:
        self._record = record
        self.job_id = str(uuid4())
        record.execute(f"INSERT INTO push_notification_logs (job_id, status) VALUES ('{self.job_id}', '{status}')")

    def change(self, what: str) -> None:
        self._record.execute(f"UPDATE push_notification_logs SET {what} WHERE job_id = '{self.job_id}'")

    def delete(self) -> None:
        self._record.execute(f"DELETE FROM push_notification_logs WHERE job_id = '{self.job_id}'")

    def illegal(self) -> list[str]:
        """Its illegal changes, without its id."""
        return [change.split(": ", 1)[1] for change in transitions.illegal(self._record, [self.job_id])]


@pytest.mark.parametrize(
    ("statuses", "reported"),
    [
        (["pending", "sent", "delivered"], []),
        (["pending", "pending", "delivered", "delivered"], []),
        (["pending", "sent", "expired", "delivered"], []),
        (["skipped"], []),
        (["pending", "delivered", "sent"], ["delivered -> sent"]),
        (["pending", "expired", "pending"], ["expired -> pending"]),
        (["pending", "sent", "pending"], ["sent -> pending"]),
        (["sent"], ["born -> sent"]),
        (["skipped", "pending"], ["skipped -> pending"]),
    ],
)
def test_reports_the_changes_that_no_arrow_allows(record: Record, statuses: list[str], reported: list[str]) -> None:
    message = Message(record, statuses[0])

    for status in statuses[1:]:
        message.change(f"status = '{status}'")

    assert message.illegal() == reported


def test_reports_a_second_ack_that_changes_the_first(record: Record) -> None:
    message = Message(record, "pending")
    message.change("status = 'delivered', acked_at = now()")

    message.change("acked_at = now() + interval '1 s'")

    assert message.illegal() == ["delivered -> acked again"]


def test_reports_a_message_that_is_deleted(record: Record) -> None:
    message = Message(record, "pending")

    message.delete()

    assert message.illegal() == ["pending -> deleted"]
