"""A test push to one device, and what becomes of it: queued, accepted, received, as it happens."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse

from delivery import clocks, intake, jobs
from delivery.admin import timeline
from delivery.admin.base import actor
from delivery.admin.looks import badge, word_of
from delivery.models import Device, PushNotificationLog
from delivery.models.device import Lifecycle
from delivery.models.push_log import ENDED
from delivery.priority import Priority

TTL_S = 120
RECENT = 10


def send(device: Device, request: HttpRequest) -> UUID | str:
    """The message's id; else why there is none, in words."""
    if device.lifecycle not in (Lifecycle.PENDING, Lifecycle.ACTIVE):
        return f"This device is {device.lifecycle}: it gets no messages."
    order = jobs.Order(
        name=f"Test push to {device}"[:200],
        target=jobs.Target(devices=[device.device_id]),
        payload={"title": "Test push", "body": f"Sent at {clocks.db_now():%H:%M:%S} UTC", "data": {"action": "test"}},
        priority=Priority.HIGH,
        ttl_s=TTL_S,
        ordered_by=actor(request),
    )
    try:
        return jobs.accept_at_once(order, [device])[device.device_id].message_id
    except intake.Overloaded as full:
        return f"It would wait for too long now: {full}"


def panel(device: Device, message_id: str) -> dict[str, Any]:
    """One message of this device, as far as it has come; nothing where it has no such message."""
    push = _message(device, message_id)
    if push is None:
        return {}
    ended = push.status in ENDED
    asked = f"{reverse('admin:delivery_device_test', args=[device.pk])}?message={push.message_id}"
    return {
        "push": push,
        "badge": badge(word_of(push)),
        "lines": timeline.lines(push),
        "goes_on": not ended,
        "panel_url": asked,
        "message_url": _page(push),
    }


def recent(device: Device) -> Sequence[dict[str, Any]]:
    """The newest messages of the device, through its own index."""
    rows = PushNotificationLog.objects.filter(device=device).order_by("-id")[:RECENT]
    return [{"push": push, "badge": badge(word_of(push)), "url": _page(push)} for push in rows]


def _page(push: PushNotificationLog) -> str:
    return reverse("admin:delivery_pushnotificationlog_change", args=[push.pk])


def _message(device: Device, message_id: str) -> PushNotificationLog | None:
    try:
        wanted = UUID(message_id)
    except ValueError:
        return None
    return PushNotificationLog.objects.filter(device=device, message_id=wanted).prefetch_related("attempts").first()
