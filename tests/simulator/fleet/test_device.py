"""What a device does with what it gets."""

from datetime import UTC, datetime, timedelta

import pytest

from simulator.fleet.device import REMEMBERED, Device, Identity, read_done, read_message

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_device() -> Device:
    return Device(Identity(device_id="d-1", api_key="hp_1", site_id="site-001", name="Till 1", channel="mqtt"))


def push(device: Device, message_id: str) -> bool:
    return device.receive({"message_id": message_id}, pushed=True, give_up_at=60) is not None


def poll(device: Device, message_id: str) -> bool:
    return device.receive({"message_id": message_id}, pushed=False, give_up_at=60) is not None


def test_owes_one_ack_for_a_message_however_often_it_comes() -> None:
    device = a_device()

    owed = [push(device, "m-1"), push(device, "m-1"), poll(device, "m-1")]

    assert owed == [True, False, False]
    assert device.received == 1


def test_counts_each_further_push_as_a_duplicate() -> None:
    device = a_device()

    for message_id in ("m-1", "m-2", "m-1", "m-1"):
        push(device, message_id)

    assert (device.received, device.duplicates) == (2, 2)


def test_does_not_call_it_a_duplicate_when_inbox_and_push_bring_the_same() -> None:
    device = a_device()

    poll(device, "m-1")
    push(device, "m-1")
    poll(device, "m-1")

    assert (device.received, device.duplicates) == (1, 0)


def test_knows_a_duplicate_push_after_the_inbox_was_first() -> None:
    device = a_device()

    poll(device, "m-1")
    push(device, "m-1")
    push(device, "m-1")

    assert device.duplicates == 1


def test_remembers_only_the_latest_messages() -> None:
    device = a_device()

    for number in range(REMEMBERED + 1):
        push(device, f"m-{number}")

    assert push(device, f"m-{REMEMBERED}") is False
    assert push(device, "m-0") is True


def test_says_when_it_got_the_message_once_and_for_all() -> None:
    ack = a_device().receive({"message_id": "m-1", "ack_token": "t"}, pushed=True, give_up_at=60)
    assert ack is not None

    ack.arrive(NOON)
    first = ack.body()
    ack.arrive(NOON + timedelta(seconds=9))

    assert ack.body() == first
    assert first == {
        "message_id": "m-1",
        "device_id": "d-1",
        "status": "delivered",
        "received_at": "2026-11-21T12:00:00+00:00",
        "ack_token": "t",
    }


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[1]", b"null", b"{}", b'{"message_id": ""}', None, 7])
def test_survives_what_is_no_message(payload: object) -> None:
    assert read_message(payload) is None


@pytest.mark.parametrize("payload", [b"", b"[1]", b'{"message_ids": "m-1"}', b'{"message_ids": null}', None])
def test_survives_a_confirmation_that_is_none(payload: object) -> None:
    assert read_done(payload) == []
