"""What devices report about themselves, stored in batches."""

from django.db import models

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
