"""Fan-out writes each device's row exactly once, wherever it is interrupted."""

from typing import Any

import pytest
from django.conf import LazySettings
from redis import Redis

from delivery import clocks, fanout, gate, sweeps
from delivery.models import Device, Job, ProviderState, PushNotificationLog
from delivery.priority import Priority
from tests import races
from tests.delivery.rows import a_channel, a_device, a_job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small_chunks(settings: LazySettings) -> None:
    settings.FANOUT_CHUNK = 10


def devices_with_messages() -> list[str]:
    return sorted(row.device_id for row in PushNotificationLog.objects.all())


def make_devices(count: int) -> list[str]:
    return sorted(a_device(f"till-{number:03}").device_id for number in range(count))


def run_fanout() -> None:
    while fanout.fan_out_chunk():
        pass


def test_every_targeted_device_gets_one_row_and_the_job_knows_when_it_is_done() -> None:
    names = make_devices(25)
    job = a_job()

    sizes = [fanout.fan_out_chunk() for _ in range(4)]

    job.refresh_from_db()
    assert sizes == [10, 10, 5, None]
    assert devices_with_messages() == names
    assert (job.status, job.fanned_out_at is not None) == ("running", True)


def test_a_chunk_that_was_interrupted_is_written_again_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    names = make_devices(25)
    job = a_job()
    fanout.fan_out_chunk()
    real = Job.objects.advance

    def die(*args: Any, **kwargs: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(Job.objects), "advance", die)
    with pytest.raises(KeyboardInterrupt):
        fanout.fan_out_chunk()
    monkeypatch.setattr(type(Job.objects), "advance", lambda self, *args, **kwargs: real(*args, **kwargs))
    job.refresh_from_db()
    assert (len(devices_with_messages()), job.cursor > 0) == (10, True)

    run_fanout()

    assert devices_with_messages() == names


def test_two_workers_at_once_neither_skip_nor_double() -> None:
    names = make_devices(95)
    a_job()

    races.at_once(run_fanout, run_fanout, run_fanout)
    run_fanout()

    assert devices_with_messages() == names


def test_a_device_made_after_the_order_is_not_in_it() -> None:
    names = make_devices(3)
    job = a_job(last_device=a_device("till-last").pk)

    a_device("too-late")
    run_fanout()

    assert devices_with_messages() == sorted([*names, "till-last"])
    assert PushNotificationLog.objects.filter(job=job).count() == 4


def test_the_more_urgent_job_goes_first() -> None:
    make_devices(12)
    slow = a_job(priority=Priority.LOW)
    urgent = a_job(priority=Priority.CRITICAL)

    fanout.fan_out_chunk()

    assert PushNotificationLog.objects.filter(job=urgent).count() == 10
    assert PushNotificationLog.objects.filter(job=slow).count() == 0


@pytest.mark.postgres_only
def test_a_turn_writes_chunk_after_chunk(broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    names = make_devices(25)
    a_job()
    monkeypatch.setattr(fanout, "TURN_S", 3600.0)

    assert fanout.fan_out() == 25

    assert (devices_with_messages(), broker.llen("fanout")) == (names, 0)


def test_a_turn_that_is_over_wakes_the_next(broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    make_devices(25)
    a_job()
    monkeypatch.setattr(fanout, "TURN_S", 0.0)

    assert fanout.fan_out() == 10

    assert broker.llen("fanout") == 1


def test_a_job_for_nobody_keeps_no_other_waiting(broker: Redis) -> None:
    make_devices(2)
    a_job(target={"segments": ["nobody"]}, priority=Priority.CRITICAL)
    a_job()

    fanout.fan_out()

    assert len(devices_with_messages()) == 2 or broker.llen("fanout") == 1


def test_a_paused_or_cancelled_job_is_left_alone() -> None:
    make_devices(2)
    a_job(status="paused")
    a_job(status="cancelled")

    assert fanout.fan_out_chunk() is None


def test_a_job_whose_hint_was_lost_is_found_by_the_sweep(broker: Redis) -> None:
    make_devices(2)
    a_job()
    broker.flushdb()

    assert (sweeps.resume_jobs(), broker.llen("fanout")) == (1, 1)
    assert (sweeps.resume_jobs(), broker.llen("fanout")) == (0, 1)


def test_a_jobs_first_chunk_wakes_a_sender_for_each_batch_and_a_later_one_wakes_one(
    broker: Redis, settings: LazySettings
) -> None:
    settings.SEND_BATCH = 4
    for name in make_devices(25):
        a_channel(Device.objects.get(device_id=name))
    a_job()

    woken = []
    for _ in range(3):
        fanout.fan_out_chunk()
        woken.append(broker.llen("push.simulation"))

    assert woken == [3, 4, 5]


@pytest.mark.parametrize(
    ("capabilities", "provider"),
    [
        ({"fcm_token": "t", "mqtt_client_id": "m"}, "simulation"),
        ({"has_gms": True}, "simulation"),
    ],
)
def test_the_first_channel_by_rank_is_taken(capabilities: dict[str, Any], provider: str) -> None:
    device = a_device("till-1", capabilities=capabilities)
    a_channel(device, "mqtt", 1)
    a_channel(device, "simulation", 0)
    a_job()

    run_fanout()

    assert PushNotificationLog.objects.get().provider == provider


def test_a_provider_that_is_not_configured_here_is_passed_over() -> None:
    device = a_device("till-1")
    a_channel(device, "wns", 0)
    a_channel(device, "mqtt", 1)
    a_job()

    run_fanout()

    row = PushNotificationLog.objects.get()
    assert (row.provider, row.fallback_from) == ("mqtt", "wns")


def test_a_provider_that_was_closed_for_long_is_passed_over_and_named() -> None:
    device = a_device("till-1")
    a_channel(device, "simulation", 0)
    a_channel(device, "mqtt", 1)
    long_ago = clocks.db_now() - gate.LONG_CLOSED
    ProviderState.objects.create(provider="simulation", state="open", opened_at=long_ago, until=clocks.db_now())
    a_job()

    run_fanout()

    row = PushNotificationLog.objects.get()
    assert (row.provider, row.fallback_from) == ("mqtt", "simulation")


def test_the_first_channel_that_a_device_declares_is_no_fallback() -> None:
    device = a_device("till-1", capabilities={"mqtt_client_id": "till-1"})
    a_channel(device, "fcm", 0)
    a_channel(device, "mqtt", 1)
    a_job()

    run_fanout()

    row = PushNotificationLog.objects.get()
    assert (row.provider, row.fallback_from) == ("mqtt", "")


def test_a_device_without_any_push_channel_has_its_inbox() -> None:
    a_device("till-1")
    a_job()

    run_fanout()

    row = PushNotificationLog.objects.get()
    assert (row.provider, row.status, row.next_attempt_at) == ("inbox", "pending", None)


def close_for_long(provider: str) -> None:
    now = clocks.db_now()
    gate.pause(provider, "default", why="503", now=now, seconds=60)
    ProviderState.objects.update(opened_at=now - gate.LONG_CLOSED)


def test_the_chosen_channel_comes_first_and_the_others_after_it() -> None:
    device = a_device()
    a_channel(device, "mqtt", 0)
    chosen = a_channel(device, "simulation", 1)
    [open_row] = fanout.write_rows(a_job(), [device], {device.pk: chosen.pk})
    close_for_long("simulation")

    [closed_row] = fanout.write_rows(a_job(), [device], {device.pk: chosen.pk})

    assert (open_row.provider, closed_row.provider, closed_row.fallback_from) == ("simulation", "mqtt", "simulation")


def test_a_provider_that_is_closed_for_long_is_passed_over() -> None:
    device = a_device("till-1")
    a_channel(device, "simulation", 0)
    a_channel(device, "mqtt", 1)
    close_for_long("simulation")
    a_job()

    run_fanout()

    row = PushNotificationLog.objects.get()
    assert (row.provider, row.fallback_from) == ("mqtt", "simulation")


@pytest.mark.parametrize("key", ["key", ""])
def test_where_all_ways_are_closed_the_message_waits_behind_the_first(key: str) -> None:
    a_channel(a_device("till-1", key=key), "simulation", 0)
    close_for_long("simulation")
    a_job()

    run_fanout()

    row = PushNotificationLog.objects.get()
    assert (row.provider, row.status, row.fallback_from) == ("simulation", "pending", "")
