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
