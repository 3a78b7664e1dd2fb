"""One message can be followed through the log by its ids."""

import logging
from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from delivery import acks, event_loop, fanout, inbox, jobs, sending
from delivery.acks import Ack, ProvenAck
from delivery.models import Job, PushNotificationLog
from tests.delivery.rows import a_channel, a_device

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _ideal_simulation(settings: LazySettings, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    settings.PROVIDERS = {"simulation": {"default": {"profile": "ideal", "ack_rate": 0}}}
    caplog.set_level(logging.INFO, logger="delivery")
    event_loop.close()
    yield
    event_loop.close()


def order(device_id: str) -> Job:
    target = jobs.Target(devices=[device_id])
    payload = {"title": "Hello", "body": "", "data": {}}
    job, _ = jobs.accept(jobs.Order(name="a job", target=target, payload=payload, ordered_by="person:test"))
    fanout.fan_out_chunk()
    return job


def ack(message: PushNotificationLog, status: str = "delivered") -> None:
    acks.record([ProvenAck(Ack(message_id=str(message.message_id), status=status), message.device_id)])


def told(caplog: pytest.LogCaptureFixture, message: PushNotificationLog) -> list[str]:
    """The lines that carry all three ids of this message."""
    ids = (str(message.message_id), message.device_id, message.job_id)
    return [
        record.getMessage()
        for record in caplog.records
        if tuple(getattr(record, name, None) for name in ("message_id", "device_id", "job_id")) == ids
    ]


def test_a_message_that_is_pushed(caplog: pytest.LogCaptureFixture) -> None:
    a_channel(a_device("till-1"))
    order("till-1")

    sending.send_batch("simulation")
    message = PushNotificationLog.objects.get()
    ack(message)

    assert told(caplog, message) == ["attempt", "ack"]


def test_a_message_that_is_fetched_and_refused(caplog: pytest.LogCaptureFixture) -> None:
    a_device("till-1")
    order("till-1")

    inbox.hand_out("till-1")
    message = PushNotificationLog.objects.get()
    ack(message, "failed")

    assert told(caplog, message) == ["handed out", "ack"]


def test_a_job_before_it_has_messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "AT_ONCE", 0)
    a_device("till-1")

    job = order("till-1")

    lines = [record.getMessage() for record in caplog.records if getattr(record, "job_id", None) == job.job_id]
    assert lines == ["job accepted", "fanned out"]
