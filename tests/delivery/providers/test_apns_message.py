"""What APNs is asked to deliver: path, headers and body."""

import json
from dataclasses import replace
from typing import Any

import pytest

from delivery.outcomes import OutcomeKind
from delivery.priority import Priority
from delivery.providers.apns_message import collapse_id, payload
from delivery.providers.base import Message
from tests.delivery.providers.apple import (
    ADDRESS,
    MESSAGE,
    NOW,
    apns,
    like_apple,
    send,
    sent,
)
from tests.delivery.providers.local_servers import Http2Server


def with_content(**content: Any) -> Message:
    return replace(MESSAGE, content=content)


def aps(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(sent(message).body)["aps"]
    return content


def test_posts_to_the_device_under_our_own_message_id() -> None:
    request = sent(MESSAGE)

    assert (request.method, request.path) == ("POST", f"/3/device/{ADDRESS}")
    assert request.headers["apns-id"] == MESSAGE.message_id
    assert request.headers["apns-topic"] == "org.homepot.agent"


def test_keeps_the_flat_keys_of_the_wire_contract_beside_aps() -> None:
    content = json.loads(sent(MESSAGE).body)

    assert content.pop("aps") == {"alert": {"title": "Update", "body": "2.1 is there"}, "mutable-content": 1}
    assert content == {
        "message_id": MESSAGE.message_id,
        "sent_at": "2026-11-21T12:30:00+00:00",
        "title": "Update",
        "body": "2.1 is there",
        "priority": "high",
        "data": {"version": "2.1"},
        "ack_token": "secret-ack",
        "ack_url": "https://push.example/api/v1/push/ack",
    }


def test_shows_an_image_a_badge_a_sound_buttons_and_a_group() -> None:
    rich = with_content(
        title="Update",
        subtitle="Till 1",
        image="https://x.example/a.png",
        badge=0,
        sound="ping",
        category="ASK",
        thread_id="t1",
    )

    assert aps(rich) == {
        "alert": {"title": "Update", "subtitle": "Till 1"},
        "badge": 0,
        "sound": "ping",
        "category": "ASK",
        "thread-id": "t1",
        "mutable-content": 1,
    }


@pytest.mark.parametrize(
    "content", [{"data": {"a": 1}}, {"title": "", "body": ""}, {"title": "Hi", "badge": 3, "data_only": True}]
)
def test_wakes_the_app_quietly_where_there_is_nothing_to_show(content: dict[str, Any]) -> None:
    request = sent(with_content(**content))

    assert json.loads(request.body)["aps"] == {"content-available": 1}
    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("background", "5")


@pytest.mark.parametrize(
    ("priority", "expected"),
    [(Priority.CRITICAL, "10"), (Priority.HIGH, "10"), (Priority.NORMAL, "5"), (Priority.LOW, "1")],
)
def test_translates_the_priority(priority: Priority, expected: str) -> None:
    request = sent(replace(MESSAGE, priority=priority))

    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("alert", expected)


@pytest.mark.parametrize(("ttl_s", "stored_s"), [(1, 1), (3600, 3600), (10**9, 30 * 86400)])
def test_lets_apple_store_it_as_long_as_it_lives(ttl_s: int, stored_s: int) -> None:
    request = sent(replace(MESSAGE, ttl_s=ttl_s))

    assert int(request.headers["apns-expiration"]) == int(NOW.timestamp()) + stored_s


def test_sends_no_collapse_id_without_a_collapse_key() -> None:
    assert "apns-collapse-id" not in sent(MESSAGE).headers


@pytest.mark.parametrize("key", ["prices", "x" * 64])
def test_passes_a_collapse_key_on(key: str) -> None:
    assert sent(replace(MESSAGE, collapse_key=key)).headers["apns-collapse-id"] == key


@pytest.mark.parametrize("key", ["x" * 65, "prix à jour", "a\r\nb: c", " "])
def test_hashes_a_collapse_key_that_apple_would_refuse(key: str) -> None:
    collapsed = collapse_id(key)

    assert len(collapsed.encode()) == 64
    assert collapsed == collapse_id(key) != collapse_id(key + "2")


def test_lets_an_order_override_aps_and_four_headers() -> None:
    override = {
        "aps": {"interruption-level": "time-sensitive"},
        "headers": {
            "apns-push-type": "voip",
            "apns-topic": "org.homepot.agent.voip",
            "apns-priority": "5\r\nx: y",
            "authorization": "mine",
        },
    }

    request = sent(with_content(title="Hi", platforms={"apns": override}))

    content = json.loads(request.body)
    assert content["aps"] == {"alert": {"title": "Hi"}, "mutable-content": 1, "interruption-level": "time-sensitive"}
    assert "platforms" not in content
    assert request.headers["apns-push-type"] == "voip"
    assert request.headers["apns-topic"] == "org.homepot.agent.voip"
    assert request.headers["apns-priority"] == "10"
    assert request.headers["authorization"] != "mine"


@pytest.mark.parametrize("platforms", [None, [], {"apns": 1}, {"apns": {"aps": 2, "headers": "x"}}])
def test_an_override_of_another_shape_changes_nothing(platforms: Any) -> None:
    assert aps(with_content(title="Hi", platforms=platforms)) == {"alert": {"title": "Hi"}, "mutable-content": 1}


@pytest.mark.parametrize("environment", ["", "production"])
def test_goes_to_production_unless_told_otherwise(environment: str) -> None:
    with Http2Server(like_apple) as production, Http2Server(like_apple) as sandbox:
        provider = apns(production.url, sandbox_url=sandbox.url)
        send(provider, [replace(MESSAGE, environment=environment)])

    assert (len(production.received), len(sandbox.received)) == (1, 0)


def test_goes_to_the_sandbox_for_a_channel_of_the_sandbox() -> None:
    with Http2Server(like_apple) as production, Http2Server(like_apple) as sandbox:
        provider = apns(production.url, sandbox_url=sandbox.url)
        outcomes = send(provider, [MESSAGE, replace(MESSAGE, environment="sandbox")])

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.ACCEPTED] * 2
    assert (len(production.received), len(sandbox.received)) == (1, 1)


@pytest.mark.parametrize("address", ["", "xyz", "a1/../../3/device/b2", "a1\r\nx: y"])
def test_sends_nothing_to_what_is_no_token(address: str) -> None:
    with Http2Server(like_apple) as server:
        [outcome] = send(apns(server.url), [replace(MESSAGE, address=address)])

    assert (outcome.kind, outcome.code, server.received) == (OutcomeKind.REJECTED, "malformed_address", [])
    with pytest.raises(ValueError, match="hexadecimal"):
        apns(server.url).check_address(address)


def test_sends_nothing_that_is_too_large() -> None:
    room = 4096 - len(payload(with_content(title="")))

    with Http2Server(like_apple) as server:
        messages = [with_content(title="", data={"x": "y" * (room + extra - 6)}) for extra in (0, 1)]
        [fits, refused] = send(apns(server.url), messages)

    assert (fits.kind, refused.kind, refused.code) == (OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, "payload_too_large")
    assert [len(request.body) for request in server.received] == [4096]


def test_overrides_go_over_the_content_for_apns_alone() -> None:
    content = json.loads(
        sent(with_content(title="Hi", badge=1, platforms={"apns": {"title": "Hello", "badge": None}})).body
    )

    assert content["aps"] == {"alert": {"title": "Hello"}, "mutable-content": 1}
    assert content["title"] == "Hello"
