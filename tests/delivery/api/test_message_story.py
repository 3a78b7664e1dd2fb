from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from delivery.models import Device, PushNotificationLog


def test_the_verdict_comes_with_its_evidence(as_technician: APIClient, device: Device) -> None:
    as_technician.post("/api/v1/push/send", {"device_id": device.device_id, "title": "Hello", "body": "World"})
    push = PushNotificationLog.objects.get()
    address = f"/api/v1/messages/{push.message_id}"
    before = as_technician.get(address).json()
    PushNotificationLog.objects.update(status="expired", verdict="uplink_down", evidence="Nobody was there.")

    judged = as_technician.get(address).json()

    assert (before["verdict"], before["evidence"]) == (None, None)
    assert (judged["verdict"], judged["evidence"]) == ("uplink_down", "Nobody was there.")


def test_nothing_arrives_after_its_ack(as_technician: APIClient, device: Device) -> None:
    as_technician.post("/api/v1/push/send", {"device_id": device.device_id, "title": "Hello", "body": "World"})
    push = PushNotificationLog.objects.get()
    acked_at = push.created_at + timedelta(seconds=1)
    PushNotificationLog.objects.update(
        status="delivered", acked_at=acked_at, received_at=acked_at, clock_offset_ms=7, sent_at=push.created_at
    )

    *_, received, acked = as_technician.get(f"/api/v1/messages/{push.message_id}").json()["timeline"]

    assert (received["what"], acked["what"]) == ("received", "acked")
    assert received["at"] == acked["at"] == acked_at.isoformat()


@pytest.mark.parametrize(
    ("skewed", "told"), [(False, ["ordered", "sent", "received", "acked"]), (True, ["ordered", "sent", "acked"])]
)
def test_the_story_is_told_by_our_clock(
    as_technician: APIClient, device: Device, skewed: bool, told: list[str]
) -> None:
    as_technician.post("/api/v1/push/send", {"device_id": device.device_id, "title": "Hello", "body": "World"})
    push = PushNotificationLog.objects.get()
    sent_at = push.created_at + timedelta(seconds=1)
    arrived_at, minute = sent_at + timedelta(seconds=1), timedelta(minutes=1)
    PushNotificationLog.objects.update(
        status="delivered", sent_at=sent_at, acked_at=arrived_at + timedelta(seconds=1), clock_skewed=skewed,
        received_at=arrived_at - minute, clock_offset_ms=minute / timedelta(milliseconds=1),
    )  # fmt: skip

    story = as_technician.get(f"/api/v1/messages/{push.message_id}").json()

    assert [event["what"] for event in story["timeline"]] == told
    assert story["received_at"] == (arrived_at - minute).isoformat()
    assert skewed or story["timeline"][2]["at"] == arrived_at.isoformat()
