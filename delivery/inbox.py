"""Every device's last channel: what waits for it, handed out when it asks."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from delivery import clocks, crash_points, envelope
from delivery.models import Job, PushNotificationLog, Status
from delivery.models.job import PAUSED_UNTIL
from delivery.providers.base import flat

log = logging.getLogger(__name__)

AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message as the inbox hands it out."""

    message_id: str
    provider: str
    payload: dict[str, Any]
    sent_at: datetime


def hand_out(device_id: str) -> list[Waiting]:
    """The unexpired messages that the device has not acked, the oldest first, at most 50.

    Handing out a message that nothing has accepted yet is its `sent`. It is listed again until it is acked or expires.
    """
    now = clocks.db_now()
    rows = list(
        PushNotificationLog.objects.open()
        .filter(device_id=device_id, expires_at__gt=now, expires_at__lt=PAUSED_UNTIL)
        .order_by("id")[:AT_ONCE]
    )
    fresh = [row.pk for row in rows if row.status == Status.PENDING]
    if fresh:  # else this only reads, which goes on where nothing can be written
        with transaction.atomic():
            PushNotificationLog.objects.hand_out(device_id, fresh, now)
            rows = list(PushNotificationLog.objects.open().filter(pk__in=[row.pk for row in rows]).order_by("id"))
            crash_points.passing("before_inbox_commit")
        crash_points.passing("after_inbox_commit")
    for row in rows:
        if row.pk in fresh:
            ids = {"message_id": str(row.message_id), "device_id": device_id, "job_id": row.job_id}
            log.info("handed out", extra=ids)
    job_ids = {row.job_id for row in rows if row.job_id}
    payloads = dict(Job.objects.filter(job_id__in=job_ids).values_list("job_id", "payload"))
    return [_waiting(row, payloads.get(row.job_id or "", {}), now) for row in rows]


def _waiting(row: PushNotificationLog, content: dict[str, Any], now: datetime) -> Waiting:
    sent_at = row.sent_at or now
    message = envelope.message(row, content, sent_at=sent_at, now=now)
    return Waiting(message.message_id, row.provider, flat(message), sent_at)
