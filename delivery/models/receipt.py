"""Each ack as it came, one per message and status (table `push_delivery_logs`)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import models

from delivery.models import setwise
from delivery.models.keys import new_message_id
from delivery.models.push_log import PushNotificationLog


class ReceiptStatus(models.TextChoices):
    DELIVERED = "delivered"
    FAILED = "failed"
    OPENED = "opened"
    CLICKED = "clicked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewReceipt:
    message_id: UUID
    device_id: str
    status: str
    details: Mapping[str, str]


class ReceiptQuerySet(models.QuerySet["Receipt"]):
    def add(self, receipts: Sequence[NewReceipt], *, now: datetime) -> int:
        """One row per message and status, for messages that exist and belong to the device; a replay adds none."""
        first = {(r.message_id, r.device_id, r.status): r for r in reversed(receipts)}
        table, params = setwise.rows(
            {"id": "uuid", "message_id": "uuid", "device_id": "text", "status": "text", "details": "text"},
            [
                (
                    new_message_id(),
                    r.message_id,
                    r.device_id,
                    r.status,
                    json.dumps(dict(r.details)) if r.details else "{}",
                )
                for r in sorted(first.values(), key=lambda r: (r.message_id.int, r.status))
            ],
        )
        return setwise.execute(
            f"""
            INSERT INTO push_delivery_logs (id, push_id, status, details, created_at)
            SELECT r.id, m.message_id, r.status, {setwise.as_json("r.details")}, {setwise.moment()}
            FROM {table} JOIN push_notification_logs AS m
              ON m.message_id = r.message_id AND m.device_id = r.device_id AND m.status <> 'skipped'
            WHERE true ON CONFLICT (push_id, status) DO NOTHING
            """,
            [now, *params],
            prepared=True,
        )


class Receipt(models.Model):
    id = models.UUIDField(primary_key=True, default=new_message_id)
    push = models.ForeignKey(
        PushNotificationLog,
        to_field="message_id",
        db_column="push_id",
        on_delete=models.CASCADE,
        related_name="receipts",
        db_index=False,
    )
    status = models.CharField(max_length=10, choices=ReceiptStatus)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    objects = ReceiptQuerySet.as_manager()

    class Meta:
        db_table = "push_delivery_logs"
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["push", "status"], name="receipt_once_per_status")]

    def __str__(self) -> str:
        return self.status
