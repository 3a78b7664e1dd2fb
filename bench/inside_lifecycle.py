"""What the log itself can take: rows from their birth to their receipt, by its own verbs, one connection, durable."""

import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from django.db import connection, transaction

from bench.case import Figures
from bench.inside_sweeps import timed
from delivery import clocks
from delivery.models import Device, Job, PushNotificationLog, Receipt
from delivery.models.keys import new_message_id
from delivery.models.push_log_rows import Arrived, NewRow, Sent
from delivery.models.receipt import NewReceipt

T = TypeVar("T")

MESSAGES = 20_000
BORN_AT_ONCE, CLAIMED_AT_ONCE, WRITTEN_AT_ONCE, ACKED_AT_ONCE = 500, 200, 100, 100
"""As the product does: FANOUT_CHUNK, SEND_BATCH, results, an ack of many."""
SAMPLE = 300
TTL = timedelta(hours=1)


def lifecycle() -> Figures:
    found = Device.objects.order_by("id").values_list("device_id", "site_id", "channels__id")
    devices: list[Target] = [(device, str(site), channel) for device, site, channel in found[:MESSAGES]]
    took_ms, cost_us = timed(lambda: _by_verbs(devices), len(devices))
    limit_ms, _ = timed(lambda: _copied(devices), len(devices))
    peer_ms, _ = timed(lambda: _one_by_one(devices[:SAMPLE]), SAMPLE)
    delivered = PushNotificationLog.objects.filter(status="delivered", receipts__status="delivered").count()
    if delivered < len(devices):
        raise AssertionError(f"{delivered} of {len(devices)} messages are delivered")
    connection.close()
    return Figures(
        value=len(devices) / took_ms * 1000,
        limit_value=len(devices) / limit_ms * 1000,
        cost_us=cost_us,
        peer_value=SAMPLE / peer_ms * 1000,
    )


Target = tuple[str, str, int]
"""Device, site, channel."""


def _by_verbs(devices: Sequence[Target]) -> None:
    log, now, job = PushNotificationLog.objects, clocks.db_now(), _job()
    for some in _chunks(devices, BORN_AT_ONCE):
        new = [NewRow(new_message_id(), device, site, "fcm", "default", channel) for device, site, channel in some]
        log.insert_rows(new, job_id=job, priority=2, created_at=now, expires_at=now + TTL)
    token = uuid4()
    while claimed := log.claim(
        "fcm", "default", [2], limit=CLAIMED_AT_ONCE, token=token, now=clocks.db_now(), until=now + TTL
    ):
        for rows in _chunks(claimed, WRITTEN_AT_ONCE):
            sent = [Sent(row.id, now, f"projects/bench/messages/{row.id}", "", None, 12) for row in rows]
            log.mark_sent(sent, token=token)
        for rows in _chunks(claimed, ACKED_AT_ONCE):
            _acked([(row.message_id, row.device_id) for row in rows], clocks.db_now())


def _acked(messages: Sequence[tuple[UUID, str]], now: datetime) -> None:
    arrived = [Arrived(message_id, device_id, now, True, None, None) for message_id, device_id in sorted(messages)]
    with transaction.atomic():
        PushNotificationLog.objects.mark_delivered(arrived, now=now)
        receipts = [NewReceipt(message_id, device_id, "delivered", {}) for message_id, device_id in messages]
        Receipt.objects.add(receipts, now=now)


def _copied(devices: Sequence[Target]) -> None:
    """The rows alone, once, as they are at their birth."""
    now, job = clocks.db_now(), _job()
    text = io.StringIO()
    for device, site, channel in devices:
        text.write(
            f"{new_message_id()}\t{device}\t{job}\t{site}\tfcm\tdefault\t{channel}\tsent\t2\t{now}\t{now + TTL}\n"
        )
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.write(text.getvalue())


def _one_by_one(devices: Sequence[Target]) -> None:
    now, job = clocks.db_now(), _job()
    for device_id, site_id, channel_id in devices:
        push = PushNotificationLog.objects.create(
            device_id=device_id, job_id=job, site_id=site_id, channel_id=channel_id, provider="fcm",
            credential="default", priority=2, created_at=now, expires_at=now + TTL,
        )  # fmt: skip
        push.status, push.sent_at = "sent", now
        push.save()
        push.status, push.received_at, push.acked_at = "delivered", now, now
        push.save()
        Receipt.objects.create(push=push, status="delivered", created_at=now)


def _job() -> str:
    last = Device.objects.order_by("-id").values_list("id", flat=True)[0]
    job = Job.objects.create(
        name="bench",
        target={},
        payload={},
        ttl_s=3600,
        created_at=clocks.db_now(),
        last_device=last,
        ordered_by="key:b",
    )
    return job.job_id


def _chunks(rows: Sequence[T], size: int) -> list[Sequence[T]]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


COPY = """
    COPY push_notification_logs (message_id, device_id, job_id, site_id, provider, credential, channel_id, status,
        priority, created_at, expires_at) FROM STDIN
"""
