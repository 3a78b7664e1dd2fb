from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from delivery.admin import timeline
from delivery.models import DeliveryAttempt, PushNotificationLog, Site
from tests.delivery.admin.conftest import NOON


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def told(push: PushNotificationLog, **changes: object) -> list[str]:
    """What the timeline says happened, in its order."""
    PushNotificationLog.objects.filter(pk=push.pk).update(**changes)
    return [step.what for step in timeline.steps(PushNotificationLog.objects.get(pk=push.pk))]


def test_tells_the_whole_way_in_order(push: PushNotificationLog) -> None:
    DeliveryAttempt.objects.create(push=push, provider="apns", started_at=NOON, took_ms=9, outcome="address_gone")

    way = told(
        push, status="delivered", sent_at=NOON + after(1), received_at=NOON + after(2), acked_at=NOON + after(3),
        opened_at=NOON + after(4), fallback_from="apns", latency_ms=1000,
    )  # fmt: skip

    assert way == [
        "Ordered", "Tried on apns: address gone", "Accepted by FCM", "Received by the device", "Ack committed",
        "Opened by a person",
    ]  # fmt: skip


def test_a_late_ack_comes_after_the_end_of_its_time(push: PushNotificationLog) -> None:
    way = told(
        push, status="delivered", expired_at=NOON + after(300), received_at=NOON + after(900),
        acked_at=NOON + after(901),
    )  # fmt: skip

    assert way[-3:] == ["Time was over without an ack", "Received by the device", "Ack committed"]


def test_a_clock_that_cannot_be_right_places_no_step(push: PushNotificationLog) -> None:
    way = told(
        push, status="delivered", received_at=NOON - timedelta(days=365), clock_skewed=True, acked_at=NOON + after(1)
    )

    assert way == ["Ordered", "Accepted by FCM", "Ack committed"]


def test_the_device_time_is_corrected(push: PushNotificationLog) -> None:
    told(push, status="delivered", received_at=NOON - after(58), clock_offset_ms=60_000, acked_at=NOON + after(3))

    [received] = [
        step for step in timeline.steps(PushNotificationLog.objects.get()) if step.what == "Received by the device"
    ]

    assert received.at == NOON + after(2)


def test_the_inbox_is_named_as_such(push: PushNotificationLog) -> None:
    assert told(push, provider="inbox")[-1] == "Fetched by the device from its inbox"


@pytest.mark.parametrize(("zone", "there"), [("Europe/Berlin", "14:00:00.250 CEST"), ("Not/AZone", "–")])
def test_the_sites_own_time_stands_beside_utc(admin: Client, push: PushNotificationLog, zone: str, there: str) -> None:
    Site.objects.update(timezone=zone)

    page = admin.get(f"/admin/delivery/pushnotificationlog/{push.pk}/change/").content.decode()

    assert "2026-07-01 12:00:00.250" in page
    assert there in page


@pytest.mark.parametrize("term", ["message_id", "job_id", "device_id"])
def test_a_message_is_found_by_each_of_its_names(admin: Client, push: PushNotificationLog, term: str) -> None:
    PushNotificationLog.objects.create(
        device=type(push.device).objects.create(device_id="other"), provider="fcm", credential="default", priority=1,
        created_at=NOON, expires_at=NOON,
    )  # fmt: skip

    page = admin.get("/admin/delivery/pushnotificationlog/", {"q": str(getattr(push, term))}).content.decode()

    assert "1 message, newest first" in page
    assert str(push.message_id) in page


def test_late_is_another_state_than_delivered(admin: Client, push: PushNotificationLog) -> None:
    PushNotificationLog.objects.update(status="delivered", expired_at=NOON)

    assert "1 message," in admin.get("/admin/delivery/pushnotificationlog/?state=late").content.decode()
    assert "0 messages," in admin.get("/admin/delivery/pushnotificationlog/?state=delivered").content.decode()


def test_the_reason_stands_above_the_timeline(admin: Client, push: PushNotificationLog) -> None:
    PushNotificationLog.objects.update(
        status="expired", verdict="device_offline", evidence="FCM took it, but <nobody> was there.", judge_at=NOON
    )

    page = admin.get(f"/admin/delivery/pushnotificationlog/{push.pk}/change/").content.decode()

    assert "Why it did not arrive in time: device offline." in page
    assert page.index("FCM took it, but &lt;nobody&gt; was there.") < page.index("Ordered")
    assert "Judged again at" in page


def test_what_is_not_judged_has_no_reason(admin: Client, push: PushNotificationLog) -> None:
    page = admin.get(f"/admin/delivery/pushnotificationlog/{push.pk}/change/").content.decode()

    assert "Why it did not arrive" not in page


def test_messages_are_listed_by_their_verdict(admin: Client, push: PushNotificationLog) -> None:
    PushNotificationLog.objects.update(status="expired", verdict="uplink_down")

    with CaptureQueriesContext(connection) as asked:
        listed = admin.get("/admin/delivery/pushnotificationlog/?verdict__exact=uplink_down").content.decode()
    others = admin.get("/admin/delivery/pushnotificationlog/?verdict__exact=device_offline").content.decode()

    assert "1 message," in listed
    assert "0 messages," in others
    assert not [query for query in asked.captured_queries if "DISTINCT" in query["sql"]]
