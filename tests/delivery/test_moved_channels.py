"""An address that changes hands takes no message along."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from delivery import channels, clocks, job_control, sending, sweeps
from delivery.models import AuditLog, Channel, Device, Job, PushNotificationLog
from simulator.services import EmulatedFcm, running
from tests.delivery.emulated import a_fleet, configured, order, settings_of
from tests.delivery.rows import a_channel, a_device, claim, end_leases

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fcm")


@pytest.fixture
def fcm(home: Path) -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm(home=home)) as service:
        settings = {"fcm": {"default": settings_of(service)}, "mqtt": {"default": {"url": "mqtt://127.0.0.1:1"}}}
        with configured(settings):
            yield service


def messages(service: EmulatedFcm, count: int = 1) -> list[PushNotificationLog]:
    """Pending messages, each for a device of its own."""
    job = order(a_fleet(service, count))
    return list(PushNotificationLog.objects.filter(job=job).order_by("id"))


def move(row: PushNotificationLog) -> Device:
    """The row's channel becomes that of a new device, whose caller manages both."""
    channel = Channel.objects.get(pk=row.channel_id or 0)
    new_owner = a_device("the new owner")
    made = channels.register(
        new_owner,
        channels.Registration(channel.provider, channel.address),
        actor="person:test",
        now=clocks.db_now(),
        movable=Device.objects.all(),
    )
    assert isinstance(made, channels.Registered)
    assert made.channel.device == new_owner
    return new_owner


def test_what_waits_goes_to_the_old_devices_next_channel(fcm: EmulatedFcm, broker: Redis) -> None:
    [row] = messages(fcm)
    second = a_channel(row.device, "mqtt", 1)

    move(row)

    row.refresh_from_db()
    assert (row.status, row.provider, row.channel_id) == ("pending", "mqtt", second.pk)
    assert (row.fallback_from, row.error_code, row.claim_token) == ("fcm", "channel_closed", None)
    assert broker.llen("push.mqtt") == 1


def test_what_waits_for_its_next_try_moves_too(fcm: EmulatedFcm) -> None:
    [row] = messages(fcm)
    PushNotificationLog.objects.update(next_attempt_at=clocks.db_now() + timedelta(seconds=100))
    second = a_channel(row.device, "mqtt", 1)

    move(row)

    row.refresh_from_db()
    assert row.channel_id == second.pk


def test_without_another_channel_it_waits_in_the_old_devices_inbox(fcm: EmulatedFcm) -> None:
    [row] = messages(fcm)

    move(row)

    row.refresh_from_db()
    assert (row.status, row.provider, row.channel_id) == ("pending", "inbox", None)


def test_without_another_channel_and_a_key_it_has_failed(fcm: EmulatedFcm) -> None:
    [row] = messages(fcm)
    Device.objects.update(key_hash="")

    move(row)

    row.refresh_from_db()
    assert (row.status, row.error_code) == ("failed", "channel_closed")


def test_messages_of_paused_jobs_stay_paused_and_never_reach_the_new_owner(fcm: EmulatedFcm) -> None:
    [row] = messages(fcm)
    job = Job.objects.get(job_id=row.job_id)
    job_control.pause(job, actor="person:test")

    move(row)
    resumed = job_control.resume(job, actor="person:test")
    sending.send_batch("fcm")

    row.refresh_from_db()
    assert resumed
    assert (fcm.deliveries.total, row.provider) == (0, "inbox")


def test_what_a_worker_holds_is_left_to_it_and_never_reaches_the_new_owner(fcm: EmulatedFcm) -> None:
    [row] = messages(fcm)
    claim(token := uuid4(), provider="fcm")

    move(row)
    row.refresh_from_db()
    held_by = row.claim_token
    end_leases()
    sweeps.release_lost()
    sending.send_alone("fcm")

    row.refresh_from_db()
    assert held_by == token
    assert (fcm.deliveries.total, row.provider) == (0, "inbox")


def test_the_devices_other_messages_are_left_alone(fcm: EmulatedFcm) -> None:
    first, second = messages(fcm, 2)

    move(first)
    sending.send_batch("fcm")

    second.refresh_from_db()
    assert second.status == "sent"
    assert fcm.deliveries.counts == {str(second.message_id): 1}


def test_a_refused_registration_moves_no_message(fcm: EmulatedFcm) -> None:
    [row] = messages(fcm)
    channel = Channel.objects.get()

    made = channels.register(
        a_device("a stranger"),
        channels.Registration(channel.provider, channel.address),
        actor="person:test",
        now=clocks.db_now(),
        movable=Device.objects.none(),
    )

    row.refresh_from_db()
    assert made is channels.NotRegistered.TAKEN
    assert (row.provider, row.channel_id) == ("fcm", channel.pk)
    assert not AuditLog.objects.exists()
