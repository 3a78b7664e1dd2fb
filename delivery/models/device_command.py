"""What a technician has told one device to do: queued, fetched, done."""

import secrets
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models.functions import Coalesce

from delivery.models.device import Device
from delivery.models.job import Job


class CommandType(models.TextChoices):
    PING = "ping"
    HEALTH_CHECK = "health_check"
    REQUEST_PERMISSION = "request_permission"
    RESTART = "restart"
    RESTART_POS_APP = "restart_pos_app"
    RUN_COMMAND = "run_command"
    RUN_SCRIPT = "run_script"
    SHUTDOWN = "shutdown"
    STATUS_REQUEST = "status_request"
    UPDATE_CONFIG = "update_config"
    UPDATE_POS_PAYMENT_CONFIG = "update_pos_payment_config"


class CommandStatus(models.TextChoices):
    PENDING = "pending"
    """The device has not fetched it."""
    SENT = "sent"
    """The device says that it has it, and not yet how it went."""
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    """Its time was over first. What the device did all the same still counts."""


def new_command_id() -> str:
    return f"cmd-{secrets.token_hex(8)}"


class DeviceCommandQuerySet(models.QuerySet["DeviceCommand"]):
    """Questions return a queryset; transitions are one guarded UPDATE and return a row count. None goes back."""

    def waiting(self, now: datetime) -> Self:
        """What a device is to fetch, the oldest first."""
        return self.filter(status=CommandStatus.PENDING, expires_at__gt=now).order_by("id")

    def mark_sent(self, command_id: str, now: datetime) -> int:
        """Pending -> sent, unless its time is over."""
        return self.filter(command_id=command_id, status=CommandStatus.PENDING, expires_at__gt=now).update(
            status=CommandStatus.SENT, sent_at=now
        )

    def finish(
        self, command_id: str, status: CommandStatus, *, executed_at: datetime | None, result: Any, now: datetime
    ) -> int:
        """Pending, sent or expired -> completed or failed. The first report wins."""
        under_way = [CommandStatus.PENDING, CommandStatus.SENT, CommandStatus.EXPIRED]
        return self.filter(command_id=command_id, status__in=under_way).update(
            status=status,
            sent_at=Coalesce("sent_at", now),
            executed_at=executed_at or now,
            finished_at=now,
            result=result,
        )

    def expire(self, now: datetime, *, limit: int) -> int:
        """Pending or sent -> expired, once its time is over."""
        over = self.filter(status__in=[CommandStatus.PENDING, CommandStatus.SENT], expires_at__lte=now)
        chosen = list(over.order_by("expires_at").values_list("pk", flat=True)[:limit])
        return over.filter(pk__in=chosen).update(status=CommandStatus.EXPIRED, expired_at=models.F("expires_at"))


class DeviceCommand(models.Model):
    command_id = models.CharField(max_length=100, unique=True, default=new_command_id)
    device = models.ForeignKey(
        Device,
        to_field="device_id",
        db_column="device_id",
        on_delete=models.PROTECT,
        db_index=False,
        related_name="commands",
    )
    command_type = models.CharField(max_length=30, choices=CommandType)
    payload = models.JSONField(null=True)
    status = models.CharField(max_length=10, choices=CommandStatus, default=CommandStatus.PENDING)
    queued_by = models.CharField(max_length=150, help_text="person:name or key:name")
    idempotency_key = models.CharField(max_length=200, null=True)
    body_hash = models.CharField(max_length=64, blank=True, editable=False)
    wake_up = models.ForeignKey(
        Job, null=True, on_delete=models.PROTECT, db_index=False, help_text="The push that told the device to fetch it."
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, help_text="When the device took it.")
    executed_at = models.DateTimeField(null=True, help_text="As the device's clock said it.")
    finished_at = models.DateTimeField(null=True, help_text="Our clock, when the device told how it went.")
    expired_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
    wiped_at = models.DateTimeField(null=True, help_text="When its payload and result were wiped.")

    objects = DeviceCommandQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "command"
        constraints = [
            models.UniqueConstraint(fields=["queued_by", "idempotency_key"], name="command_once_per_idempotency_key")
        ]
        indexes = [
            models.Index(fields=["device", "id"], name="command_device_idx"),
            models.Index(
                fields=["expires_at"], condition=models.Q(status__in=["pending", "sent"]), name="command_open_idx"
            ),
            models.Index(fields=["wake_up"], condition=models.Q(wake_up__isnull=False), name="command_wake_up_idx"),
            models.Index(
                fields=["id"],
                condition=models.Q(wiped_at=None, status__in=["completed", "failed", "expired"]),
                name="command_to_wipe_idx",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.command_type} ({self.command_id})"
