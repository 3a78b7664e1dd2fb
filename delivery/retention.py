"""What is kept how long, besides the log: a rule for each table that grows with time, and payloads that are wiped.

A table that has no rule is bounded by what there is (devices, channels, credentials), or cleared by a sweep of its own:
docs/retention.md lists them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform

from delivery.models import (
    Alert,
    AuditLog,
    Connectivity,
    DeviceCommand,
    DeviceJob,
    DeviceReport,
    GateSpan,
    Job,
    PushNotificationLog,
    RefusedRegistration,
    TelemetryLog,
)
from delivery.models.device_command import CommandStatus
from delivery.models.job import JobStatus
from delivery.pruning import Pace

NEVER = 0
"""As a number of days: it is kept for ever."""
ENDED_COMMAND = [CommandStatus.COMPLETED, CommandStatus.FAILED, CommandStatus.EXPIRED]


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of a table whose last moment is longer ago than `days` go."""

    name: str
    days: int
    rows: QuerySet[Any]
    """Those that may go at all."""
    born: str
    """A moment that is the later the higher the key, as far as it matters: rows are looked at in key order up to it."""
    last: str = ""
    """The row's last moment; empty: that is `born`."""

    def old(self, now: datetime) -> QuerySet[Any]:
        """What may go now."""
        if self.days == NEVER:
            return self.rows.none()
        return self.rows.filter(**{f"{self.last or self.born}__lt": now - timedelta(days=self.days)})


def rules() -> Sequence[Rule]:
    told, known = settings.DEVICE_DATA_DAYS, settings.AUDIT_DAYS
    evidence = settings.RAW_LOG_DAYS + settings.MAX_TTL_S // 86_400
    return [
        Rule("telemetry", told, TelemetryLog.objects.all(), "processed_at"),
        Rule("reports of devices", told, DeviceReport.objects.all(), "stored_at"),
        Rule("devices' own jobs", told, DeviceJob.objects.all(), "created_at"),
        Rule(
            "commands", told, DeviceCommand.objects.filter(status__in=ENDED_COMMAND, idempotency_key=None),
            "created_at", "expires_at",
        ),
        Rule("online spans", evidence, Connectivity.objects.exclude(closed_at=None), "online_from", "closed_at"),
        Rule("gate spans", evidence, GateSpan.objects.exclude(closed_at=None), "began_at", "closed_at"),
        Rule("audit log", known, AuditLog.objects.all(), "at"),
        Rule("admin's history", known, LogEntry.objects.all(), "action_time"),
        Rule("sign-ins", known, AccessLog.objects.all(), "attempt_time"),
        Rule("failed sign-ins", known, AccessAttempt.objects.all(), "attempt_time"),
        Rule("alerts", known, Alert.objects.exclude(closed_at=None), "opened_at", "closed_at"),
        Rule("refused registrations", known, RefusedRegistration.objects.all(), "hour"),
    ]  # fmt: skip


def delete_old(rule: Rule, now: datetime, pace: Pace) -> Iterator[int]:
    """Delete by a rule, in key order up to what is young; after each transaction, how many rows."""
    if rule.days == NEVER:
        return
    before = now - timedelta(days=rule.days)
    every = rule.rows.model._default_manager.order_by("pk").values_list("pk", rule.born)
    last = 0
    while not pace.over:
        window = list(every.filter(pk__gt=last)[: pace.batch])
        if not window or min(born for _, born in window) >= before:
            return
        last = window[-1][0]
        _, gone = rule.old(now).filter(pk__gte=window[0][0], pk__lte=last).delete()
        yield gone.get(rule.rows.model._meta.label, 0)
        pace.rest()


# --- Orders, once their messages are gone
def old_jobs(before: datetime) -> QuerySet[Job]:
    """Orders of before then that ended, whose messages are gone, whose key is forgotten, and that no retry needs."""
    rows = PushNotificationLog.objects.filter(job_id=OuterRef("job_id"))
    ended = Job.objects.filter(status__in=[JobStatus.COMPLETED, JobStatus.CANCELLED], frozen_progress__isnull=False)
    retried = Q(retry=None) | Q(retry__fanned_out_at__isnull=False)
    return ended.filter(retried, ~Exists(rows), created_at__lt=before, idempotency_key=None)


def delete_jobs(before: datetime, pace: Pace) -> Iterator[int]:
    last = 0
    while not pace.over:
        window = list(Job.objects.filter(pk__gt=last).order_by("pk").values_list("pk", "created_at")[: pace.batch])
        if not window or min(created_at for _, created_at in window) >= before:
            return
        with transaction.atomic():
            chosen = list(old_jobs(before).filter(pk__gt=last, pk__lte=window[-1][0]).values_list("pk", "job_id"))
            ids = [pk for pk, _ in chosen]
            DeviceCommand.objects.filter(wake_up__in=ids).update(wake_up=None)
            Job.objects.filter(retry_of__in=[job_id for _, job_id in chosen]).update(retry_of=None)
            Job.objects.filter(pk__in=ids).delete()
        last = window[-1][0]
        yield len(ids)
        pace.rest()


# --- What the messages said
def jobs_to_wipe(now: datetime) -> QuerySet[Job]:
    """Orders whose every message ended so long ago that nobody has to know any more what they said."""
    before = now - timedelta(days=settings.PAYLOAD_DAYS)
    return Job.objects.filter(wiped_at=None, completed_at__lt=before, frozen_progress__isnull=False)


def commands_to_wipe(now: datetime) -> QuerySet[DeviceCommand]:
    before = now - timedelta(days=settings.PAYLOAD_DAYS)
    over = Q(finished_at__lt=before) | Q(status=CommandStatus.EXPIRED, expired_at__lt=before)
    return DeviceCommand.objects.filter(over, wiped_at=None, status__in=ENDED_COMMAND)


def wipe_jobs(now: datetime, pace: Pace) -> Iterator[int]:
    """The payload goes, and the name where it is the title; who ordered what for whom, and how it went, stays."""
    title = KeyTextTransform("title", "payload", output_field=CharField())
    name = Case(When(name=title, then=Value("")), default=F("name"))
    while not pace.over:
        ids = list(jobs_to_wipe(now).order_by("completed_at").values_list("pk", flat=True)[: pace.batch])
        if not ids:
            return
        yield jobs_to_wipe(now).filter(pk__in=ids).update(name=name, payload={}, wiped_at=now)
        pace.rest()


def wipe_commands(now: datetime, pace: Pace) -> Iterator[int]:
    """What the device was told to do goes, and what it answered."""
    while not pace.over:
        ids = list(commands_to_wipe(now).values_list("pk", flat=True)[: pace.batch])
        if not ids:
            return
        yield commands_to_wipe(now).filter(pk__in=ids).update(payload=None, result=None, wiped_at=now)
        pace.rest()


def ended_sessions(now: datetime) -> QuerySet[Session]:
    return Session.objects.filter(expire_date__lt=now)


def delete_sessions(now: datetime, pace: Pace) -> Iterator[int]:
    while not pace.over:
        keys = list(ended_sessions(now).order_by("expire_date").values_list("pk", flat=True)[: pace.batch])
        if not keys:
            return
        yield ended_sessions(now).filter(pk__in=keys).delete()[0]
        pace.rest()
