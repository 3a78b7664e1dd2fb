"""A device's own background job, as it reports it. It has nothing to do with an order (job.py)."""

import secrets
from datetime import datetime
from typing import Any

from django.db import models

from delivery.models.device import Device
from delivery.priority import Priority


class DeviceJobStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


def new_device_job_id() -> str:
    return f"own-{secrets.token_hex(8)}"


class DeviceJobQuerySet(models.QuerySet["DeviceJob"]):
    """Transitions are one guarded UPDATE and return a row count. None goes back."""

    def start(self, job_id: str) -> int:
        """Pending -> running."""
        return self.filter(job_id=job_id, status=DeviceJobStatus.PENDING).update(status=DeviceJobStatus.RUNNING)

    def finish(self, job_id: str, status: DeviceJobStatus, *, result: Any, error_message: str, now: datetime) -> int:
        """Pending or running -> completed or failed. The first report wins."""
        under_way = [DeviceJobStatus.PENDING, DeviceJobStatus.RUNNING]
        return self.filter(job_id=job_id, status__in=under_way).update(
            status=status, result=result, error_message=error_message, finished_at=now
        )

    def trim(self, device: Device, *, keep: int) -> int:
        """Delete all but the device's newest `keep`."""
        own = self.filter(device=device).order_by("-id")
        newest_to_go = own.values_list("id", flat=True)[keep : keep + 1].first()
        return 0 if newest_to_go is None else self.filter(device=device, id__lte=newest_to_go).delete()[0]


class DeviceJob(models.Model):
    job_id = models.CharField(max_length=100, unique=True, default=new_device_job_id)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, db_index=False, related_name="own_jobs")
    action = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    payload = models.JSONField(null=True)
    priority = models.PositiveSmallIntegerField(default=Priority.NORMAL, choices=[(p.value, p.word) for p in Priority])
    status = models.CharField(max_length=10, choices=DeviceJobStatus, default=DeviceJobStatus.PENDING)
    result = models.JSONField(null=True)
    error_message = models.CharField(max_length=2_000, blank=True)
    timestamp = models.DateTimeField(help_text="The device's clock.")
    created_at = models.DateTimeField(help_text="Ours.")
    finished_at = models.DateTimeField(null=True)

    objects = DeviceJobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "device's own job"
        indexes = [models.Index(fields=["device", "id"], name="device_job_device_idx")]

    def __str__(self) -> str:
        return f"{self.action} ({self.job_id})"
