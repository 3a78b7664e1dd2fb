"""What devices report in words, and the background jobs that they run by themselves. Of each only the newest stay."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from delivery import clocks
from delivery.models import Device, DeviceJob, DeviceReport
from delivery.models.device_job import DeviceJobStatus
from delivery.priority import Priority

KEPT = 1_000
"""So many reports of each kind, and so many of its own jobs, are kept of one device."""


@dataclass(frozen=True, slots=True)
class Report:
    kind: str
    level: str
    category: str
    text: str
    details: dict[str, Any]
    timestamp: datetime | None
    """The device's clock; None where it said nothing: then ours counts."""


def store(device: Device, report: Report) -> None:
    now = clocks.db_now()
    with transaction.atomic():
        DeviceReport.objects.create(
            device=device,
            kind=report.kind,
            level=report.level,
            category=report.category,
            text=report.text,
            details=report.details,
            timestamp=report.timestamp or now,
            stored_at=now,
        )
        DeviceReport.objects.trim(device, report.kind, keep=KEPT)


@dataclass(frozen=True, slots=True)
class OwnJob:
    action: str
    description: str
    priority: Priority
    payload: dict[str, Any] | None
    timestamp: datetime | None


def begin(device: Device, said: OwnJob) -> DeviceJob:
    """The device has a background job of its own."""
    now = clocks.db_now()
    with transaction.atomic():
        begun = DeviceJob.objects.create(
            device=device,
            action=said.action,
            description=said.description,
            priority=said.priority,
            payload=said.payload,
            timestamp=said.timestamp or now,
            created_at=now,
        )
        DeviceJob.objects.trim(device, keep=KEPT)
    return begun


def move(own: DeviceJob, status: DeviceJobStatus, *, result: Any, error_message: str) -> None:
    """Where the device says that it is now. What has ended stays as it was first reported."""
    if status == DeviceJobStatus.RUNNING:
        DeviceJob.objects.start(own.job_id)
    else:
        DeviceJob.objects.finish(own.job_id, status, result=result, error_message=error_message, now=clocks.db_now())
    own.refresh_from_db()
