"""What a device tells about itself in words: log lines, what it did, what it changed, what worries it."""

from django.db import models

from delivery.models.device import Device


class ReportKind(models.TextChoices):
    LOG = "log"
    AUDIT = "audit"
    CONFIG = "config", "configuration"
    ALERT = "alert"


class DeviceReportQuerySet(models.QuerySet["DeviceReport"]):
    def trim(self, device: Device, kind: str, *, keep: int) -> int:
        """Delete all but the device's newest `keep` of a kind."""
        own = self.filter(device=device, kind=kind).order_by("-id")
        newest_to_go = own.values_list("id", flat=True)[keep : keep + 1].first()
        if newest_to_go is None:
            return 0
        return self.filter(device=device, kind=kind, id__lte=newest_to_go).delete()[0]


class DeviceReport(models.Model):
    device = models.ForeignKey(Device, on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=10, choices=ReportKind)
    level = models.CharField(max_length=20, blank=True, help_text="The device's own word: info, warning, critical, ...")
    category = models.CharField(max_length=100, blank=True)
    text = models.TextField()
    details = models.JSONField(default=dict)
    timestamp = models.DateTimeField(help_text="The device's clock.")
    stored_at = models.DateTimeField(help_text="Ours.")

    objects = DeviceReportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "report of a device"
        verbose_name_plural = "reports of devices"
        indexes = [models.Index(fields=["device", "kind", "id"], name="report_device_idx")]

    def __str__(self) -> str:
        return f"{self.kind} {self.timestamp:%Y-%m-%d %H:%M:%S}"
