"""Each ack as it came, one per message and status (table `push_delivery_logs`)."""

from django.db import models

from delivery.models.keys import new_message_id
from delivery.models.push_log import PushNotificationLog


class ReceiptStatus(models.TextChoices):
    DELIVERED = "delivered"
    FAILED = "failed"
    OPENED = "opened"
    CLICKED = "clicked"
    UNKNOWN = "unknown"


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

    class Meta:
        db_table = "push_delivery_logs"
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["push", "status"], name="receipt_once_per_status")]

    def __str__(self) -> str:
        return self.status
