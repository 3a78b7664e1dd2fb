"""The emulated APNs against an HTTP/2 client that shows every frame."""

import json
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import h2.events
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulator.services import EmulatedApns
from tests.simulator.services.clients import Http2, Https, Reply, apns_jwt

TOKEN = "ab" * 32
PAYLOAD = b'{"aps":{"alert":{"title":"Hello"}}}'


class Sender:
    """A provider server with a connection and a signed token."""

    def __init__(self, apns: EmulatedApns) -> None:
        self.apns = apns
        self.http2 = Http2(apns.port, apns.ca_file)
        self.headers = {"authorization": f"bearer {apns_jwt(apns)}", "apns-topic": apns.topic}

    def push(self, body: bytes = PAYLOAD, token: str = TOKEN, **changes: str | None) -> Reply:
        return self.http2.ask(f"/3/device/{token}", self.with_headers(changes), body)

    def begin(self) -> int:
        return self.http2.begin(f"/3/device/{TOKEN}", self.headers, PAYLOAD)

    def with_headers(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The usual headers with some set, or left out (None)."""
        changed = {**self.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return {name: value for name, value in changed.items() if value is not None}


@pytest.fixture
def sender(apns: EmulatedApns) -> Iterator[Sender]:
    each = Sender(apns)
    with each.http2:
        yield each


def test_takes_a_push_and_echoes_its_id(apns: EmulatedApns, sender: Sender) -> None:
    apns_id = str(uuid.uuid4())

    reply = sender.push(apns_id=apns_id, apns_push_type="alert", apns_priority="10", apns_collapse_id="c")

    assert (reply.status, reply.headers["apns-id"], reply.body) == (200, apns_id, b"")
    assert apns.times_accepted(apns_id) == 1
    assert apns.accepted()[0].payload == json.loads(PAYLOAD)
    assert apns.accepted()[0].collapse_key == "c"


def test_speaks_http_2_only(apns: EmulatedApns) -> None:
    with Https(apns.url, apns.ca_file) as client, pytest.raises((ssl.SSLError, OSError)):
        client.post(f"/3/device/{TOKEN}", PAYLOAD)


def test_allows_one_stream_until_the_first_good_push(sender: Sender) -> None:
    before = sender.http2.stream_limit

    sender.push()
    sender.http2.wait(lambda: sender.http2.stream_limit > 1)

    assert (before, sender.http2.stream_limit) == (1, 1000)


def test_refuses_a_second_stream_on_a_cold_connection_and_that_stream_alone(apns: EmulatedApns, sender: Sender) -> None:
    apns.does("delay", delay_s=0.2)

    first, second = sender.begin(), sender.begin()
    reply = sender.http2.reply(first)

    assert reply.status == 200
    assert sender.http2.resets() == [second]
    assert apns.summary()["accepted"] == 1
    assert apns.summary()["refused_streams"] == 1


def test_is_not_warmed_by_a_push_that_it_refuses(sender: Sender) -> None:
    sender.push(token="ab")
    sender.push(token="ab")

    assert sender.http2.stream_limit == 1


def test_answers_a_thousand_streams_at_once_when_warm(apns: EmulatedApns, sender: Sender) -> None:
    sender.push()
    sender.http2.wait(lambda: sender.http2.stream_limit > 1)

    streams = [sender.begin() for _ in range(1000)]

    assert {sender.http2.reply(stream).status for stream in streams} == {200}
    assert apns.summary()["accepted"] == 1001


def another_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": another_key()}, "InvalidProviderToken"),
        ({"key_id": "OTHERKEY01"}, "InvalidProviderToken"),
        ({"iss": "OTHERTEAM1"}, "InvalidProviderToken"),
        ({"iat": int(time.time()) + 86_400}, "InvalidProviderToken"),
        ({"iat": "now"}, "InvalidProviderToken"),
        ({"iat": int(time.time()) - 3700}, "ExpiredProviderToken"),
    ],
)
def test_checks_the_token_with_the_public_key(
    apns: EmulatedApns, sender: Sender, changes: dict[str, Any], reason: str
) -> None:
    reply = sender.push(authorization=f"bearer {apns_jwt(apns, **changes)}")

    assert (reply.status, reply.json()) == (403, {"reason": reason})
    assert apns.summary()["accepted"] == 0


def test_misses_a_token(sender: Sender) -> None:
    assert sender.push(authorization=None).json() == {"reason": "MissingProviderToken"}


@pytest.mark.parametrize(("apart_s", "status"), [(1199, 429), (1200, 200), (0, 200)])
def test_takes_a_new_token_each_twenty_minutes(apns: EmulatedApns, sender: Sender, apart_s: int, status: int) -> None:
    now_s = int(time.time())
    sender.push(authorization=f"bearer {apns_jwt(apns, iat=now_s - apart_s)}")

    reply = sender.push(authorization=f"bearer {apns_jwt(apns, iat=now_s)}")

    assert reply.status == status
    if status == 429:
        assert reply.json() == {"reason": "TooManyProviderTokenUpdates"}


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"token": "zz" * 32}, 400, "BadDeviceToken"),
        ({"token": "ab" * 31}, 400, "BadDeviceToken"),
        ({"token": ""}, 400, "MissingDeviceToken"),
        ({"apns_topic": None}, 400, "MissingTopic"),
        ({"apns_topic": "com.example.other"}, 400, "TopicDisallowed"),
        ({"apns_push_type": "shout"}, 400, "InvalidPushType"),
        ({"apns_priority": "7"}, 400, "BadPriority"),
        ({"apns_priority": "10", "apns_push_type": "background"}, 400, "BadPriority"),
        ({"apns_expiration": "tomorrow"}, 400, "BadExpirationDate"),
        ({"apns_collapse_id": "c" * 65}, 400, "BadCollapseId"),
        ({"apns_id": "not-a-uuid"}, 400, "BadMessageId"),
        ({"body": b""}, 400, "PayloadEmpty"),
        ({"body": b"[]"}, 400, "PayloadEmpty"),
        ({"body": b'{"x":"' + b"x" * 4089 + b'"}'}, 413, "PayloadTooLarge"),
    ],
)
def test_refuses_in_apples_words(sender: Sender, changes: dict[str, Any], status: int, reason: str) -> None:
    reply = sender.push(**changes)

    assert (reply.status, reply.json()) == (status, {"reason": reason})


def test_takes_a_payload_of_exactly_4096_bytes(sender: Sender) -> None:
    assert sender.push(body=b'{"x":"' + b"x" * 4088 + b'"}').status == 200


def test_knows_no_other_path_and_no_other_method(sender: Sender) -> None:
    wrong_path = sender.http2.ask("/2/device/x", sender.headers, PAYLOAD)
    wrong_method = sender.http2.ask(f"/3/device/{TOKEN}", sender.headers, b"", method="GET")

    assert (wrong_path.status, wrong_path.json()) == (404, {"reason": "BadPath"})
    assert (wrong_method.status, wrong_method.json()) == (405, {"reason": "MethodNotAllowed"})


def test_knows_a_token_in_either_case(apns: EmulatedApns, sender: Sender) -> None:
    apns.retire([TOKEN.upper()])

    assert sender.push().status == 410


def test_says_since_when_a_token_is_gone(apns: EmulatedApns, sender: Sender) -> None:
    before_ms = time.time() * 1000
    apns.retire([TOKEN])

    reply = sender.push()

    assert (reply.status, reply.json()["reason"]) == (410, "Unregistered")
    assert before_ms - 1 <= reply.json()["timestamp"] <= time.time() * 1000


def test_ends_a_connection_with_a_reason_and_answers_what_was_begun(apns: EmulatedApns, sender: Sender) -> None:
    apns.does("goaway", limit=3)

    replies = [sender.push() for _ in range(3)]
    sender.http2.wait(lambda: sender.http2.seen(h2.events.ConnectionTerminated))

    [goaway] = [event for event in sender.http2.events if isinstance(event, h2.events.ConnectionTerminated)]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert json.loads(goaway.additional_data or b"") == {"reason": "Shutdown"}
    assert (goaway.error_code, goaway.last_stream_id) == (0, 5)


def test_takes_no_stream_above_the_one_that_its_goaway_names(apns: EmulatedApns, sender: Sender) -> None:
    sender.push()
    apns.does("goaway", limit=2)
    apns.does("delay", delay_s=0.2)

    streams = [sender.begin() for _ in range(5)]
    finished = sender.http2.reply(streams[0])

    assert finished.status == 200
    assert not any(sender.http2.ended(stream) for stream in streams[1:])
    assert apns.summary()["accepted"] == 2


def test_a_stream_limit_can_be_lowered_while_it_runs(apns: EmulatedApns, sender: Sender) -> None:
    sender.push()

    apns.does("streams", limit=5)
    sender.http2.wait(lambda: sender.http2.stream_limit == 5)
    apns.heals()
    sender.http2.wait(lambda: sender.http2.stream_limit == 1000)
