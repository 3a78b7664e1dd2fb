"""An attempt that was not simply accepted. (What the first accepted one led to stands in the log row itself.)"""

from django.db import models

from delivery.models.push_log import PushNotificationLog


class DeliveryAttempt(models.Model):
    push = models.ForeignKey(PushNotificationLog, on_delete=models.CASCADE, related_name="attempts")
    provider = models.CharField(max_length=20)
    channel_id = models.BigIntegerField(null=True)
    started_at = models.DateTimeField()
    took_ms = models.PositiveIntegerField()
    outcome = models.CharField(max_length=20)
    code = models.CharField(max_length=100, blank=True)
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["started_at"], name="attempt_started_idx")]

    def __str__(self) -> str:
        return f"{self.provider}: {self.outcome} {self.code}".rstrip()
