"""What is put together from a template is what would have been rendered."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.priority import Priority
from delivery.providers import apns_message, fcm_message, mqtt, web_push_message
from delivery.providers.base import Message
from delivery.providers.template import KEPT, Templates

RENDER: dict[str, Callable[[Message], bytes]] = {
    "fcm": lambda message: fcm_message.encoded(fcm_message.body(message)),
    "apns": apns_message.payload,
    "mqtt": mqtt.payload,
    "web_push": web_push_message.payload,
}
MESSAGE = Message(
    message_id="01a1fcf3-efe0-79ac-91ef-493fd360fc56",
    device_id="till-1",
    address="token",
    content={"title": "Soldes à midi", "body": "", "data": {"menu": [1, 2]}},
    priority=Priority.HIGH,
    sent_at=datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC),
    ttl_s=300,
    ack_token="till-1.c2lnbmF0dXJl",
    ack_url="https://push.example/api/v1/push/ack",
)

texts = st.text(max_size=12)
contents = st.fixed_dictionaries(
    {},
    optional={
        "title": texts, "body": texts, "data": st.dictionaries(texts, st.one_of(texts, st.integers()), max_size=2),
        "data_only": st.booleans(), "sound": texts, "badge": st.integers(0, 9), "image": texts,
        "platforms": st.dictionaries(
            st.sampled_from(["fcm", "apns"]),
            st.fixed_dictionaries({}, optional={"title": texts, "message_id": texts, "aps": st.just({"badge": 3})}),
        ),
    },
)  # fmt: skip
moments = st.builds(
    lambda ms, zone: (MESSAGE.sent_at + timedelta(milliseconds=ms)).astimezone(zone),
    st.integers(-(10**9), 10**9), st.sampled_from([UTC, timezone(timedelta(hours=2))]),
)  # fmt: skip
own = st.fixed_dictionaries(
    {"message_id": st.uuids().map(str), "address": texts, "ack_token": texts, "sent_at": moments,
     "ttl_s": st.integers(1, 3), "priority": st.sampled_from(Priority)}
)  # fmt: skip


@pytest.mark.parametrize("provider", RENDER)
@given(content=contents, messages=st.lists(own, min_size=1, max_size=6))
def test_says_what_rendering_says(provider: str, content: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    render = RENDER[provider]
    templates = Templates(render)

    for fields in messages:
        message = replace(MESSAGE, content=content, **fields)
        assert templates.rendered(message) == render(message)


def test_renders_once_for_the_messages_of_a_job_within_a_second() -> None:
    rendered: list[Message] = []

    def render(message: Message) -> bytes:
        rendered.append(message)
        return RENDER["fcm"](message)

    templates = Templates(render)

    for number in range(50):
        at = MESSAGE.sent_at + timedelta(milliseconds=number)
        templates.rendered(replace(MESSAGE, address=f"token-{number}", sent_at=at))

    assert len(rendered) == 1


def test_another_content_is_another_template_and_few_are_kept() -> None:
    templates = Templates(RENDER["mqtt"])

    for number in range(3 * KEPT):
        assert b'"n":%d' % number in templates.rendered(replace(MESSAGE, content={"n": number})).replace(b" ", b"")

    assert len(templates._kept) <= KEPT
