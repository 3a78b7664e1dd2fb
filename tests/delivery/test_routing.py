"""Which channel a message takes, first and next."""

from typing import Any

import pytest

from delivery.routing import Way, first_way, in_order, next_way

FCM = Way(1, "fcm", "default", 0)
MQTT = Way(2, "mqtt", "default", 1)
WNS = Way(3, "wns", "default", 2)
ALL = frozenset((way.provider, way.credential) for way in (FCM, MQTT, WNS))


@pytest.mark.parametrize(
    ("capabilities", "order"),
    [
        ({}, [FCM, MQTT, WNS]),
        ({"fcm_token": "t"}, [FCM, MQTT, WNS]),
        ({"fcm_token": "t", "mqtt_client_id": "m"}, [FCM, MQTT, WNS]),
        ({"mqtt_client_id": "m"}, [MQTT, WNS, FCM]),
        ({"fcm_token": "", "mqtt_client_id": "m"}, [MQTT, WNS, FCM]),
        ({"has_gms": False, "fcm_token": "t"}, [MQTT, WNS, FCM]),
    ],
)
def test_what_the_device_declares_decides_before_the_rank(capabilities: dict[str, Any], order: list[Way]) -> None:
    assert in_order([WNS, FCM, MQTT], capabilities) == order


def test_an_unavailable_provider_is_passed_over() -> None:
    assert first_way([FCM, MQTT], frozenset({("mqtt", "default")})) == MQTT


def test_after_the_last_channel_there_is_none() -> None:
    assert next_way([FCM, MQTT], {}, ALL, tried=MQTT.channel_id) is None


def test_the_next_channel_is_the_one_behind_the_one_tried() -> None:
    assert next_way([FCM, MQTT, WNS], {}, ALL, tried=FCM.channel_id) == MQTT


def test_a_channel_that_vanished_meanwhile_starts_the_order_anew() -> None:
    assert next_way([MQTT, WNS], {}, ALL, tried=FCM.channel_id) == MQTT
