"""The words that the agent speaks: beside those of the simulated devices, written apart from them, and in bad hands."""

from datetime import UTC, datetime
from typing import Any

import pytest

from homepot_agent import wire
from homepot_agent.wire import Ack
from simulator.fleet import device as simulated
from simulator.fleet.registration import capabilities_of

IDENTITY = simulated.Identity(device_id="dev-1", api_key="k", site_id="site-001", name="Till", channel="mqtt")
CONTENT = {"message_id": "m-1", "title": "Hello", "ack_token": "token", "data": {"a": 1}}


def test_an_ack_says_what_a_simulated_device_says() -> None:
    theirs = simulated.Ack(simulated.Device(IDENTITY), "m-1", "token", give_up_at=0.0)
    at = datetime.now(UTC)
    theirs.arrive(at)

    ours = Ack("m-1", at.timestamp(), "token").body("dev-1")

    assert ours.keys() == theirs.body().keys()
    assert {**ours, "received_at": ""} == {**theirs.body(), "received_at": ""}
    assert abs((datetime.fromisoformat(ours["received_at"]) - at).total_seconds()) < 0.001


@pytest.mark.parametrize("payload", [b'{"message_ids": ["a", "b"]}', b"{}", b"[]", b"\xff", b"[" * 100_000, ""])
def test_both_read_the_same_ids_off_acks_done(payload: bytes) -> None:
    assert wire.read_done(payload) == simulated.read_done(payload)


@pytest.mark.parametrize("provider", ["fcm", "mqtt"])
def test_both_declare_a_channel_alike(provider: str) -> None:
    body = wire.channel("address", 0, {"x": 1})

    assert {"address", "rank", "capabilities"} == body.keys()
    assert list(capabilities_of(provider, "address")) == [{"fcm": "fcm_token", "mqtt": "mqtt_client_id"}[provider]]


@pytest.mark.parametrize(
    "payload",
    [None, b"", b"null", b"[]", b'{"message_id": 7}', b'{"message_id": ""}', {"message_id": "x" * 101}, b"\x00\xff", 7],
)
def test_what_is_no_message_is_none(payload: object) -> None:
    assert wire.read_message(payload) is None


def test_data_is_an_object_on_every_channel() -> None:
    plain = wire.read_message(CONTENT)
    by_fcm = wire.read_message({**CONTENT, "data": '{"a": 1}'})

    assert plain is not None
    assert by_fcm is not None
    assert plain.data == by_fcm.data == {"a": 1}


@pytest.mark.parametrize("data", [None, 7, [], {}, {"pushes": None}, {"pushes": [None, {}, {"message_id": "m"}]}])
def test_an_inbox_that_makes_no_sense_is_empty(data: Any) -> None:
    assert wire.read_inbox(data) == []
    assert wire.read_commands(data) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T12:00:00Z", datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()),
        ("2026-11-21T12:00:00", datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()),
        ("yesterday", None),
        (None, None),
    ],
)
def test_reads_times_with_and_without_a_zone(text: object, expected: float | None) -> None:
    assert wire.read_time_s(text) == expected
