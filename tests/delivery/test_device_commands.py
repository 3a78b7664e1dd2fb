"""Each transition of a command, also against a second connection; and the push that rings for it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from delivery import clocks, commands
from delivery.commands import NotQueued, Wish
from delivery.models import AuditLog, Device, DeviceCommand, PushNotificationLog
from delivery.models.device_command import CommandStatus
from tests import races
from tests.delivery.rows import a_channel, a_device

pytestmark = pytest.mark.django_db(transaction=True)

Verb = Callable[[DeviceCommand], int]


@pytest.fixture
def till(broker: Redis) -> Device:
    return a_device(key="key")


def wish(command_type: str = "ping", payload: dict[str, Any] | None = None) -> Wish:
    return Wish(command_type=command_type, payload=payload, queued_by="person:test", reach=None)


def queued(device: Device, key: str | None = None, **fields: Any) -> DeviceCommand:
    command = commands.queue(device, wish(**fields), idempotency_key=key)
    assert isinstance(command, DeviceCommand)
    return command


def do_take(command: DeviceCommand) -> int:
    return DeviceCommand.objects.mark_sent(command.command_id, clocks.db_now())


def do_complete(command: DeviceCommand) -> int:
    return finish(command, CommandStatus.COMPLETED)


def do_fail(command: DeviceCommand) -> int:
    return finish(command, CommandStatus.FAILED)


def finish(command: DeviceCommand, status: CommandStatus) -> int:
    return DeviceCommand.objects.finish(
        command.command_id, status, executed_at=None, result={"exit_code": 0}, now=clocks.db_now()
    )


def do_expire(command: DeviceCommand) -> int:
    return DeviceCommand.objects.expire(command.expires_at, limit=10)


RACES: list[tuple[list[Verb], Verb, Verb, int, str]] = [
    # what was before, who commits first, who comes second, how many rows the second changed, the status in the end
    ([], do_take, do_take, 0, "sent"),
    ([], do_take, do_complete, 1, "completed"),
    ([], do_complete, do_take, 0, "completed"),
    ([], do_complete, do_fail, 0, "completed"),
    ([], do_fail, do_complete, 0, "failed"),
    ([], do_expire, do_take, 0, "expired"),
    ([], do_expire, do_complete, 1, "completed"),
    ([], do_complete, do_expire, 0, "completed"),
    ([], do_take, do_expire, 1, "expired"),
    ([do_take], do_complete, do_take, 0, "completed"),
    ([do_take], do_expire, do_expire, 0, "expired"),
]


@pytest.mark.parametrize(("before", "first", "second", "changed", "status"), RACES)
def test_the_second_of_two_connections_sees_what_the_first_committed(
    till: Device, before: list[Verb], first: Verb, second: Verb, changed: int, status: str
) -> None:
    command = queued(till)
    for verb in before:
        verb(command)

    with races.rival() as rival:
        assert rival.does(lambda: first(command)) == 1
        other = races.started(lambda: second(command))
        rival.commit()
        result = other.result(30)

    command.refresh_from_db()
    assert (result, command.status) == (changed, status)


def test_a_command_waits_until_it_is_taken_and_looking_changes_nothing(till: Device) -> None:
    first, second = queued(till), queued(till, command_type="health_check")

    listed = [[command.command_id for command in commands.waiting_for(till)] for _ in range(2)]
    taken = commands.take(first)

    assert listed == [[first.command_id, second.command_id]] * 2
    assert taken
    assert [command.command_id for command in commands.waiting_for(till)] == [second.command_id]


def test_a_command_is_not_taken_after_its_time_even_before_the_sweep(till: Device) -> None:
    command = queued(till)
    DeviceCommand.objects.update(expires_at=clocks.db_now() - timedelta(seconds=1))

    assert (commands.waiting_for(till), commands.take(command), commands.expire()) == ([], False, 1)
    assert commands.take(command) is False


def test_what_was_done_after_its_time_still_counts_and_says_that_it_was_late(till: Device) -> None:
    command = queued(till)
    DeviceCommand.objects.update(expires_at=clocks.db_now())
    commands.expire()

    commands.finish(command, CommandStatus.COMPLETED, executed_at=None, result={"ok": True})

    assert (command.status, command.result) == ("completed", {"ok": True})
    assert command.expired_at is not None


def test_the_first_report_of_a_command_wins(till: Device) -> None:
    command = queued(till)
    commands.finish(command, CommandStatus.FAILED, executed_at=None, result={"error": "no disk"})

    commands.finish(command, CommandStatus.COMPLETED, executed_at=None, result={"ok": True})

    assert (command.status, command.result) == ("failed", {"error": "no disk"})


def test_a_command_rings_for_its_device_and_says_nothing_of_what_is_to_be_done(till: Device) -> None:
    a_channel(till)

    command = queued(till, command_type="run_script", payload={"script": "secret"})

    [message] = PushNotificationLog.objects.all()
    assert command.wake_up is not None
    assert message.job_id == command.wake_up.job_id
    assert command.wake_up.payload == {
        "title": "",
        "body": "",
        "data": {"type": "command", "command_id": command.command_id},
        "data_only": True,
        "wake": True,
    }
    assert message.expires_at == pytest.approx(command.expires_at, abs=timedelta(seconds=5))


def test_a_device_without_a_channel_is_not_rung_for_and_finds_its_command_when_it_asks(till: Device) -> None:
    command = queued(till)

    assert command.wake_up is None
    assert not PushNotificationLog.objects.exists()
    assert commands.waiting_for(till) == [command]


@pytest.mark.parametrize("fetched", [do_take, do_complete])
def test_the_doorbell_is_called_off_once_the_device_has_come(till: Device, fetched: Verb) -> None:
    a_channel(till)
    command = queued(till)

    if fetched is do_take:
        commands.take(command)
    else:
        commands.finish(command, CommandStatus.COMPLETED, executed_at=None, result=None)

    [message] = PushNotificationLog.objects.all()
    assert (message.status, message.error_code) == ("cancelled", "fetched")


def test_the_same_key_and_command_queue_it_once(till: Device) -> None:
    a_channel(till)

    again = [queued(till, key="k-1").command_id for _ in range(3)]

    assert len(set(again)) == 1
    assert (DeviceCommand.objects.count(), PushNotificationLog.objects.count()) == (1, 1)
    assert AuditLog.objects.filter(action="queued a command").count() == 1


def test_the_same_key_at_the_same_moment_queues_it_once(till: Device) -> None:
    def queue() -> str:
        return queued(till, key="k-1").command_id

    assert len(set(races.at_once(queue, queue, queue, queue))) == 1
    assert DeviceCommand.objects.count() == 1


def test_a_key_stands_for_one_command_to_one_device(till: Device) -> None:
    other = a_device("till-2", key="key")
    queued(till, key="k-1")

    assert commands.queue(till, wish("health_check"), idempotency_key="k-1") is NotQueued.KEY_REUSED
    assert commands.queue(other, wish(), idempotency_key="k-1") is NotQueued.KEY_REUSED


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"lifecycle": "suspended"}, NotQueued.NOT_IN_USE),
        ({"lifecycle": "retired"}, NotQueued.NOT_IN_USE),
        ({"key_hash": ""}, NotQueued.NO_KEY),
    ],
)
def test_a_device_that_could_never_fetch_it_gets_no_command(
    till: Device, changed: dict[str, str], refusal: NotQueued
) -> None:
    Device.objects.update(**changed)
    till.refresh_from_db()

    assert commands.queue(till, wish(), idempotency_key=None) is refusal
    assert not DeviceCommand.objects.exists()


def test_only_so_many_commands_wait_for_one_device(till: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_WAITING", 2)
    first = queued(till)
    queued(till)

    refused = commands.queue(till, wish(), idempotency_key=None)
    commands.take(first)

    assert refused is NotQueued.TOO_MANY
    assert isinstance(commands.queue(till, wish(), idempotency_key=None), DeviceCommand)


def test_an_old_key_may_stand_for_another_command(till: Device) -> None:
    queued(till, key="k-1")

    forgotten = commands.forget_idempotency_keys(clocks.db_now() + timedelta(seconds=1))

    assert forgotten == 1
    assert queued(till, key="k-1", command_type="health_check").command_type == "health_check"
