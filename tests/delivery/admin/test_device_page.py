"""What a technician does and sees on a device's page."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from redis import Redis

from delivery.models import Device, PushNotificationLog, Site
from tests.delivery.admin.conftest import BACKEND
from tests.delivery.conftest import broker
from tests.delivery.rows import a_channel

__all__ = ["broker"]


@pytest.fixture
def test_url(till: Device) -> str:
    return reverse("admin:delivery_device_test", args=[till.pk])


def test_a_test_push_is_ordered_and_its_way_shown(admin: Client, till: Device, test_url: str, broker: Redis) -> None:
    a_channel(till, "simulation")

    page = admin.post(test_url, follow=True).content.decode()

    push = PushNotificationLog.objects.get(device=till)
    assert (push.status, push.provider, push.priority) == ("pending", "simulation", 1)
    assert f'data-live="{test_url}?message={push.message_id}"' in page
    assert "<strong>Ordered</strong>" in page
    assert "data-more" in page


def test_the_panel_stops_asking_once_the_message_has_ended(
    admin: Client, push: PushNotificationLog, test_url: str
) -> None:
    PushNotificationLog.objects.update(status="delivered", latency_ms=412, acked_at=push.sent_at)

    panel = admin.get(test_url, {"message": str(push.message_id)}).content.decode()

    assert "received 412 ms after it was sent" in panel
    assert "data-more" not in panel


@pytest.mark.parametrize("message", ["", "x", "%00", "0198f1d2-0000-7000-8000-000000000000"])
def test_a_message_that_is_not_the_devices_shows_nothing(admin: Client, test_url: str, message: str) -> None:
    assert admin.get(test_url, {"message": message}).content.decode().strip() == ""


def test_a_retired_device_gets_no_test_push(admin: Client, till: Device, test_url: str) -> None:
    Device.objects.update(lifecycle="retired")

    page = admin.post(test_url, follow=True).content.decode()

    assert "This device is retired: it gets no messages." in page
    assert not PushNotificationLog.objects.exists()


def test_only_who_may_change_devices_of_the_site_sends_one(
    technician: User, till: Device, site: Site, test_url: str, broker: Redis
) -> None:
    client = Client()
    client.force_login(technician, backend=BACKEND)
    assert client.post(test_url).status_code == 404

    site.technicians.add(technician)
    technician.user_permissions.remove(*technician.user_permissions.filter(codename="change_device"))
    assert client.post(test_url).status_code == 403
    assert not PushNotificationLog.objects.exists()


def test_the_recent_messages_lead_to_theirs(admin: Client, push: PushNotificationLog, till: Device) -> None:
    page = admin.get(reverse("admin:delivery_device_change", args=[till.pk])).content.decode()

    assert reverse("admin:delivery_pushnotificationlog_change", args=[push.pk]) in page
