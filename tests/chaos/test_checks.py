"""The verdict itself: each thing that may go wrong is seen. (No servers; for those see test_short.py.)"""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checks import Found, figures, wrong
from tests.chaos.run import Allowed

PUSHED = {"what": "pushed", "by": "fcm", "device_id": "d", "message_id": "m-1"}
ACKED = {"what": "acked", "by": "http", "device_id": "d", "message_id": "m-1"}
OVER_MQTT = {"what": "pushed", "by": "mqtt", "device_id": "d", "message_id": "m-2"}
GOOD = Found(
    ordered=2,
    statuses={"m-1": "delivered", "m-2": "delivered"},
    receipts=frozenset({"m-1", "m-2"}),
    told=[PUSHED, ACKED, OVER_MQTT, {**ACKED, "message_id": "m-2", "by": "mqtt"}],
    accepted={"m-1": 1, "of another run": 7},
    illegal=[],
    answers={"200": 2, "503": 1},
    seconds=3.4,
)


def judged(found: Found, allowed: Allowed | None = None) -> list[str]:
    allowed = allowed or Allowed()
    return wrong(found, figures(found, allowed), allowed)


def test_a_good_run_has_its_line() -> None:
    line = figures(GOOD, Allowed(extra_sends=40)).line("redis-flush", good=not judged(GOOD))

    assert line == (
        "case=redis-flush messages=2 delivered=2 expired=0 failed=0 lost=0 stuck=0 illegal=0 extra_sends=0 bound=40 "
        "acks_missing=0 seconds=3 ok"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"told": [PUSHED, ACKED]}, "1 messages are lost"),
        ({"statuses": {"m-1": "delivered"}}, "1 messages are lost"),
        ({"statuses": {"m-1": "delivered"}}, "1 rows for 2 messages"),
        ({"statuses": {"m-1": "delivered", "m-2": "sent"}}, "1 messages are still open"),
        ({"statuses": {"m-1": "delivered", "m-2": "pending"}}, "1 messages are still open"),
        ({"statuses": {"m-1": "delivered", "m-2": "expired"}}, "the record says 1 delivered, the devices 2"),
        ({"statuses": {"m-1": "delivered", "m-2": "expired"}}, "1 expired, not 0"),
        ({"statuses": {"m-1": "delivered", "m-2": "failed"}}, "1 failed, not 0"),
        ({"accepted": {"m-1": 3}}, "2 extra sends, at most 0"),
        ({"accepted": {"m-1": 1, "m-2": 1}}, "1 extra sends, at most 0"),
        ({"told": [*GOOD.told, OVER_MQTT]}, "1 extra sends, at most 0"),
        ({"receipts": frozenset({"m-1"})}, "1 confirmed acks are missing"),
        ({"statuses": {"m-1": "delivered", "m-2": "sent"}}, "1 confirmed acks are missing"),
        ({"illegal": ["m-1: delivered -> sent"]}, "illegal: m-1: delivered -> sent"),
        ({"answers": {"200": 2, "500": 1}}, "devices were answered {'500': 1}"),
        ({"answers": {"503 without Retry-After": 1}}, "devices were answered {'503 without Retry-After': 1}"),
    ],
)
def test_sees_what_is_wrong(change: dict[str, Any], said: str) -> None:
    assert said in judged(replace(GOOD, **change))


def test_what_the_case_explains_is_not_wrong() -> None:
    repeated = replace(GOOD, accepted={"m-1": 3})
    expired = replace(GOOD, ordered=3, statuses={**GOOD.statuses, "m-3": "expired"})

    assert judged(repeated, Allowed(extra_sends=2)) == []
    assert judged(expired, Allowed(expired=1)) == []


def test_an_expected_end_that_did_not_come_is_wrong() -> None:
    assert judged(GOOD, Allowed(expired=1)) == ["0 expired, not 1"]
