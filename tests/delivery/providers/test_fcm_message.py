"""What FCM is asked to deliver, field by field."""

from dataclasses import replace
from typing import Any

import pytest

from delivery.priority import Priority
from delivery.providers.base import Message
from delivery.providers.fcm_message import body, limited_text
from tests.delivery.providers.google import (
    MESSAGE,
    NOW,
)


def with_content(**content: Any) -> Message:
    return replace(MESSAGE, content=content)


def built(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = body(message)["message"]
    return content


def test_data_has_the_flat_keys_of_the_wire_contract_as_strings() -> None:
    assert built(MESSAGE)["data"] == {
        "message_id": MESSAGE.message_id,
        "sent_at": "2026-11-21T12:30:00+00:00",
        "title": "Update",
        "body": "2.1 is there",
        "priority": "high",
        "data": '{"version":2.1}',
        "ack_token": "secret-ack",
        "ack_url": "https://push.example/api/v1/push/ack",
    }


def test_shows_a_notification_with_image_icon_badge_sound_and_group() -> None:
    content = built(
        with_content(
            title="Hi",
            image="https://x.example/a.png",
            icon="ic_till",
            badge=3,
            sound="ping",
            category="ASK",
            thread_id="t1",
        )
    )

    assert content["notification"] == {"title": "Hi", "image": "https://x.example/a.png"}
    assert content["android"]["notification"] == {"sound": "ping", "icon": "ic_till", "notificationCount": 3}
    assert content["webpush"]["notification"] == {"icon": "ic_till"}
    assert content["apns"]["payload"]["aps"] == {
        "badge": 3,
        "sound": "ping",
        "category": "ASK",
        "thread-id": "t1",
        "mutable-content": 1,
    }


@pytest.mark.parametrize(
    "content", [{"config_url": "https://x.example"}, {"title": "Hi", "sound": "a", "data_only": True}]
)
def test_sends_data_alone_where_nothing_is_to_be_shown(content: dict[str, Any]) -> None:
    message = built(with_content(**content))

    assert "notification" not in message
    assert "notification" not in message["android"]
    assert message["android"]["priority"] == "HIGH"
    assert message["apns"]["payload"]["aps"] == {"content-available": 1}
    assert message["apns"]["headers"]["apns-push-type"] == "background"
    assert message["apns"]["headers"]["apns-priority"] == "5"


@pytest.mark.parametrize(
    ("priority", "android", "apple", "web"),
    [
        (Priority.CRITICAL, "HIGH", "10", "high"),
        (Priority.HIGH, "HIGH", "10", "high"),
        (Priority.NORMAL, "NORMAL", "5", "normal"),
        (Priority.LOW, "NORMAL", "5", "low"),
    ],
)
def test_translates_the_priority(priority: Priority, android: str, apple: str, web: str) -> None:
    message = built(replace(MESSAGE, priority=priority))

    assert message["android"]["priority"] == android
    assert message["apns"]["headers"]["apns-priority"] == apple
    assert message["webpush"]["headers"]["Urgency"] == web


@pytest.mark.parametrize(("ttl_s", "expected_s"), [(1, 1), (3600, 3600), (10**9, 2_419_200)])
def test_passes_on_what_is_left_of_its_life(ttl_s: int, expected_s: int) -> None:
    message = built(replace(MESSAGE, ttl_s=ttl_s))

    assert message["android"]["ttl"] == f"{expected_s}s"
    assert message["webpush"]["headers"]["TTL"] == str(expected_s)
    assert message["apns"]["headers"]["apns-expiration"] == str(int(NOW.timestamp()) + expected_s)


def test_passes_a_collapse_key_on() -> None:
    message = built(replace(MESSAGE, collapse_key="prices"))

    assert (message["android"]["collapseKey"], message["webpush"]["headers"]["Topic"]) == ("prices", "prices")


def test_overrides_go_over_what_we_build_but_never_over_the_target() -> None:
    override = {
        "android": {"notification": {"channelId": "alarms"}, "priority": "NORMAL"},
        "notification": None,
        "token": "another",
        "topic": "all",
    }

    message = built(with_content(title="Hi", sound="ping", platforms={"fcm": override}))

    assert message["android"]["notification"] == {"sound": "ping", "channelId": "alarms"}
    assert (message["android"]["priority"], message["android"]["ttl"]) == ("NORMAL", "3600s")
    assert message["token"] == MESSAGE.address
    assert not {"notification", "topic", "condition"} & message.keys()


def test_overrides_go_over_the_content_for_fcm_alone() -> None:
    message = built(with_content(title="Hi", sound="ping", platforms={"fcm": {"title": "Hello", "extra": 1}}))

    assert message["notification"] == {"title": "Hello"}
    assert (message["data"]["title"], message["data"]["extra"], message["data"]["sound"]) == ("Hello", "1", "ping")
    assert "platforms" not in message["data"]


@pytest.mark.parametrize("platforms", [None, [], {"fcm": 1}, {"apns": {"aps": {}}}])
def test_an_override_of_another_shape_changes_nothing(platforms: Any) -> None:
    assert built(with_content(title="Hi", platforms=platforms)) == built(with_content(title="Hi"))


def test_counts_what_fcm_limits_in_bytes() -> None:
    small, large = limited_text(body(with_content(title="é"))), limited_text(body(with_content(title="é" * 101)))

    assert len(large) - len(small) == 2 * 2 * 100  # in the data and in the notification
