"""An order: a payload, a target, and until when it is worth delivering."""

import json
import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.db import models
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce

from delivery.models import setwise
from delivery.priority import Priority


class JobStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


def new_job_id() -> str:
    return f"job-{secrets.token_hex(8)}"


PAUSED_UNTIL = datetime(9999, 1, 1, tzinfo=UTC)
"""Where the clock of a paused job stands: infinity, for databases and programs that have none."""


def parked(moment: models.F | Coalesce, now: datetime) -> CombinedExpression:
    """A column's moment, as far behind PAUSED_UNTIL as it is behind `now`: what was left of a wait stays left."""
    return moment + (PAUSED_UNTIL - now)


def unparked(moment: models.F | Coalesce, now: datetime) -> CombinedExpression:
    """The way back: as far behind `now` as it was behind PAUSED_UNTIL."""
    return moment - (PAUSED_UNTIL - now)


class JobQuerySet(models.QuerySet["Job"]):
    """Questions return a queryset; transitions are one guarded UPDATE and return a row count."""

    def to_fan_out(self) -> Self:
        """Jobs whose rows are not all written, the most urgent first."""
        return self.filter(status__in=[JobStatus.QUEUED, JobStatus.RUNNING], fanned_out_at=None).order_by(
            "priority", "id"
        )

    def contents(self, ids: Collection[str]) -> dict[str, tuple[Mapping[str, Any], str, str]]:
        """What these jobs' messages say: payload, collapse key and the job's status, by id."""
        table, params = setwise.rows({"job_id": "text"}, [(job_id,) for job_id in ids])
        found = setwise.fetch(
            f"""
            SELECT j.job_id, CAST(j.payload AS text), j.collapse_key, j.status
            FROM {table} JOIN delivery_job AS j ON j.job_id = r.job_id
            """,
            params,
            ["text", "text", "text", "text"],
            prepared=True,
        )
        return {job_id: (json.loads(payload), collapse_key, status) for job_id, payload, collapse_key, status in found}

    def advance(self, job_id: str, *, from_cursor: int, to_cursor: int) -> int:
        """Move the fan-out's cursor behind the chunk just written: queued or running -> running."""
        return self.filter(job_id=job_id, fanned_out_at=None, cursor=from_cursor).update(
            cursor=to_cursor,
            status=models.Case(
                models.When(status=JobStatus.QUEUED, then=models.Value(JobStatus.RUNNING)), default=models.F("status")
            ),
        )

    def finish_fan_out(self, job_id: str, now: datetime) -> int:
        """All rows are written."""
        return self.filter(job_id=job_id, fanned_out_at=None).update(
            fanned_out_at=now,
            status=models.Case(
                models.When(status=JobStatus.QUEUED, then=models.Value(JobStatus.RUNNING)), default=models.F("status")
            ),
        )

    def to_settle(self) -> Self:
        """Jobs whose rows are all written and whose final count is not."""
        return self.exclude(fanned_out_at=None).filter(frozen_progress__isnull=True)

    def complete(self, job_id: str, progress: Mapping[str, int], now: datetime) -> int:
        """Freeze the final count; running -> completed."""
        return (
            self.to_settle()
            .filter(job_id=job_id)
            .update(
                frozen_progress=dict(progress),
                completed_at=Coalesce("completed_at", now),
                status=models.Case(
                    models.When(status=JobStatus.RUNNING, then=models.Value(JobStatus.COMPLETED)),
                    default=models.F("status"),
                ),
            )
        )

    # --- what people do to it
    def pause(self, job_id: str, now: datetime) -> int:
        """Queued or running -> paused. Its clock stands still: see `parked`."""
        return self.filter(job_id=job_id, status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).update(
            status=JobStatus.PAUSED, lives_from=parked(Coalesce("lives_from", "created_at"), now)
        )

    def resume(self, job_id: str, now: datetime) -> int:
        """Paused -> running, or queued where none of its rows is written. Its clock goes on, and its count is open."""
        return self.filter(job_id=job_id, status=JobStatus.PAUSED).update(
            status=models.Case(
                models.When(cursor=0, fanned_out_at=None, then=models.Value(JobStatus.QUEUED)),
                default=models.Value(JobStatus.RUNNING),
            ),
            lives_from=unparked(models.F("lives_from"), now),
            frozen_progress=None,
            completed_at=None,
        )

    def cancel(self, job_id: str, now: datetime) -> int:
        """Queued, running or paused -> cancelled. No further rows are written."""
        return self.filter(job_id=job_id, status__in=[JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED]).update(
            status=JobStatus.CANCELLED, fanned_out_at=Coalesce("fanned_out_at", now)
        )

    def thaw(self, job_ids: list[str]) -> int:
        """A message that had ended arrived: the count is taken again. Waits for whoever is freezing it this moment."""
        return self.filter(job_id__in=job_ids).update(frozen_progress=None)


class Job(models.Model):
    job_id = models.CharField(max_length=100, unique=True, default=new_job_id)
    name = models.CharField(max_length=200)
    target = models.JSONField(help_text="As ordered: sites, segments, devices, users or all.")
    reach = models.JSONField(
        null=True, blank=True, help_text="The sites that the caller may send to; null for everything."
    )
    payload = models.JSONField(help_text="What the device shows and reads: title, body, data, ...")
    priority = models.PositiveSmallIntegerField(default=Priority.NORMAL, choices=[(p.value, p.word) for p in Priority])
    ttl_s = models.PositiveIntegerField()
    collapse_key = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    created_at = models.DateTimeField()
    lives_from = models.DateTimeField(
        null=True, blank=True, help_text="From when its TTL counts; null: from created_at. A pause moves it on."
    )
    fanned_out_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    wiped_at = models.DateTimeField(
        null=True, blank=True, help_text="When its payload was wiped: its messages had ended long ago."
    )
    cursor = models.BigIntegerField(default=0, help_text="The highest device row that has its message.")
    last_device = models.BigIntegerField(help_text="The highest device row at order time; later devices are not in it.")
    frozen_progress = models.JSONField(null=True, blank=True, editable=False)
    ordered_by = models.CharField(max_length=150, help_text="person:name, key:name or device:id")
    retry_of = models.OneToOneField(
        "self",
        to_field="job_id",
        db_column="retry_of",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="retry",
        help_text="The job whose failed and expired devices this one is for.",
    )
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    body_hash = models.CharField(max_length=64, blank=True, editable=False)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["priority", "id"],
                condition=models.Q(fanned_out_at=None, status__in=["queued", "running"]),
                name="job_to_fan_out_idx",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(fanned_out_at__isnull=False, frozen_progress__isnull=True),
                name="job_to_settle_idx",
            ),
            models.Index(fields=["id"], condition=models.Q(status="paused"), name="job_paused_idx"),
            models.Index(
                fields=["completed_at"],
                condition=models.Q(wiped_at=None, completed_at__isnull=False),
                name="job_to_wipe_idx",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["ordered_by", "idempotency_key"], name="job_once_per_idempotency_key")
        ]

    def __str__(self) -> str:
        return self.name or self.job_id

    @property
    def expires_at(self) -> datetime:
        """Until when its messages are worth delivering."""
        return (self.lives_from or self.created_at) + timedelta(seconds=self.ttl_s)
