"""Step 7: what time and accidents leave behind. Each sweep is safe to run twice, and twice at once."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from delivery import (
    clocks,
    commands,
    crash_points,
    credential_expiry,
    credentials,
    fanout,
    gate,
    guard,
    hints,
    jobs,
    moving,
    stopping,
)
from delivery.models import Alert, Channel, Job, PushNotificationLog, Status, TelemetryBatch
from delivery.models.push_log import INBOX

log = logging.getLogger(__name__)

CHUNK = 2_000
JOBS_AT_ONCE = 100
HINTS_PER_PROCESS = 2
EXPIRING = "credential_expiring"


def expire() -> int:
    """End what nobody acked within its TTL."""
    expired = _in_chunks(lambda: PushNotificationLog.objects.expire(clocks.db_now(), limit=CHUNK))
    if expired:
        log.info("expired", extra={"rows": expired})
    return expired


def release_lost() -> int:
    """Free the rows that dead workers hold."""
    freed = _in_chunks(lambda: PushNotificationLog.objects.release_lost(clocks.db_now(), limit=CHUNK))
    if freed:
        log.warning("freed what dead workers held", extra={"rows": freed})
    return freed


def rehint() -> int:
    """Wake workers for what is due, whatever became of the hints that were sent; how many hints it gave."""
    now = clocks.db_now()
    given = 0
    most = HINTS_PER_PROCESS * settings.SEND_PROCESSES
    for provider, configs in credentials.usable().items():
        due = PushNotificationLog.objects.due(now).filter(provider=provider, credential__in=list(configs))
        rows = due.filter(claim_alone=False)[: most * settings.SEND_BATCH].count()
        missing = min(hints.batches_for(rows), most) - (hints.waiting(f"push.{provider}") or 0)
        for _ in range(missing):
            hints.wake_sender(provider)
        if due.filter(claim_alone=True).exists():
            hints.wake_sender_alone(provider)
            given += 1
        given += max(0, missing)
    return given


def resume_jobs() -> int:
    """Wake the fan-out where a job's rows are not all written; 1 if it did."""
    if not Job.objects.to_fan_out().exists() or hints.waiting("fanout"):
        return 0
    hints.wake_fanout()
    return 1


def settle_jobs() -> int:
    """Complete the jobs whose every message has ended, and freeze their counts."""
    open_rows = PushNotificationLog.objects.open().filter(job_id=OuterRef("job_id"))
    ended = Job.objects.to_settle().filter(~Exists(open_rows)).order_by("id")
    settled = 0
    for job_id in list(ended.values_list("job_id", flat=True)[:JOBS_AT_ONCE]):
        with transaction.atomic():
            Job.objects.select_for_update().get(job_id=job_id)
            completed = Job.objects.complete(job_id, jobs.count(job_id), clocks.db_now())
        if completed:
            log.info("job completed", extra={"job_id": job_id})
        settled += completed
    return settled


def archive_silent_channels() -> int:
    """Put away channels that carried nothing for 90 days; their next registration brings them back."""
    now = clocks.db_now()
    return Channel.objects.archive_silent(now - timedelta(days=settings.CHANNEL_SILENCE_DAYS), now=now)


def forget_idempotency_keys() -> int:
    """After 30 days a key may stand for another order, or another batch of telemetry; how many were let go."""
    before = clocks.db_now() - timedelta(days=settings.IDEMPOTENCY_DAYS)
    batches, _ = TelemetryBatch.objects.filter(created_at__lt=before).delete()
    forgotten = Job.objects.filter(created_at__lt=before).exclude(idempotency_key=None).update(idempotency_key=None)
    return batches + forgotten + commands.forget_idempotency_keys(before)


def judge_overdue() -> int:
    """Decide about channels that were parked a minute ago."""
    with transaction.atomic():
        return guard.judge_overdue(clocks.db_now())


def warn_of_expiring_credentials() -> int:
    """An alert for each credential that ends within 30 days, closed when it is renewed or gone; how many end."""
    now = clocks.db_now()
    ending = credential_expiry.ending_soon(now)
    for each in ending:
        Alert.objects.open_or_repeat(EXPIRING, each.subject, each.text(now), now, provider=each.provider)
    renewed = Alert.objects.filter(kind=EXPIRING, closed_at=None).exclude(subject__in=[each.subject for each in ending])
    renewed.update(closed_at=now)
    return len(ending)


def detour() -> int:
    """Move what waits for a credential that is closed for long, or not there any more, to its next channel."""
    now = clocks.db_now()
    gone = PushNotificationLog.objects.waited_for() - fanout.configured() - {(INBOX, "")}
    return sum(_detour(provider, credential, now) for provider, credential in gate.long_closed(now) | gone)


def hedge() -> int:
    """Send what nobody acked within its priority's time on the next channel too; how many."""

    def some() -> int:
        now = clocks.db_now()
        with transaction.atomic():
            late = PushNotificationLog.objects.select_for_update(skip_locked=True).filter(
                status=Status.SENT, hedge_at__lte=now, expires_at__gt=now
            )
            rows = list(late.order_by("hedge_at")[:CHUNK])
            moving.hedge(rows, now)
        return len(rows)

    return _in_chunks(some)


def _detour(provider: str, credential: str, now: datetime) -> int:
    moved = last = 0
    while True:
        rows = list(
            PushNotificationLog.objects.due(now)
            .filter(provider=provider, credential=credential, pk__gt=last)
            .order_by("pk")[:CHUNK]
        )
        if not rows or stopping.told():
            return moved
        last = rows[-1].pk
        moved += moving.move_on(rows, now)


def _in_chunks(step: Callable[[], int]) -> int:
    total = 0
    while (changed := step()) > 0:
        total += changed
        crash_points.passing("after_sweep_chunk")
        if changed < CHUNK or stopping.told():
            break
    return total
