"""When a device was online: one row per span, extended by heartbeats."""

from django.db import models

from delivery.models.device import Device


class Connectivity(models.Model):
    device = models.ForeignKey(Device, on_delete=models.CASCADE, db_index=False)
    online_from = models.DateTimeField()
    last_seen = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, help_text="Set when no heartbeat came for 120 s after last_seen.")

    class Meta:
        verbose_name_plural = "connectivity"
        indexes = [models.Index(fields=["device", "-online_from"], name="connectivity_device_idx")]
        constraints = [
            models.UniqueConstraint(
                fields=["device"], condition=models.Q(closed_at=None), name="connectivity_one_open_span"
            )
        ]

    def __str__(self) -> str:
        return f"{self.online_from:%Y-%m-%d %H:%M:%S} to {self.last_seen:%H:%M:%S} UTC"
