"""What devices report about themselves, stored in batches."""

from datetime import datetime

from django.db import models

from delivery.models import setwise
from delivery.models.device import Device


class TelemetryLog(models.Model):
    device = models.ForeignKey(Device, null=True, on_delete=models.CASCADE)
    batch_id = models.CharField(max_length=64, db_index=True, help_text="One per request; a client may choose its own.")
    type = models.CharField(max_length=50, help_text="'metrics' for /agent/telemetry, else the client's own word.")
    message = models.TextField(blank=True)
    meta = models.JSONField(default=dict)
    timestamp = models.DateTimeField(help_text="The device's clock.")
    processed_at = models.DateTimeField(help_text="Ours.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.type} {self.timestamp:%Y-%m-%d %H:%M:%S}"


class TelemetryBatchQuerySet(models.QuerySet["TelemetryBatch"]):
    def begin(self, sender: str, batch_id: str, saved_count: int, now: datetime) -> bool:
        """Whether this sender's batch is new. Waits for whoever is storing the same one this moment."""
        return bool(
            setwise.execute(
                """
                INSERT INTO delivery_telemetrybatch (sender, batch_id, saved_count, created_at)
                VALUES (%s, %s, %s, %s) ON CONFLICT (sender, batch_id) DO NOTHING
                """,
                [sender, batch_id, saved_count, now],
            )
        )


class TelemetryBatch(models.Model):
    """A batch that its sender named: a retry finds it here."""

    sender = models.CharField(max_length=200, help_text="device:id, person:name or key:name")
    batch_id = models.CharField(max_length=64)
    saved_count = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_index=True)

    objects = TelemetryBatchQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sender", "batch_id"], name="telemetry_batch_once_per_sender")]

    def __str__(self) -> str:
        return f"{self.sender} {self.batch_id}"
