"""Step 7: what time and accidents leave behind. Each sweep is safe to run twice, and twice at once."""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import caches
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

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
DETOUR_REST = 10
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
    to_settle = Job.objects.to_settle().only("job_id", "created_at", "lives_from", "ttl_s")
    ends = {job.job_id: job.expires_at for job in to_settle}
    perhaps = [each for each in ends.keys() - PushNotificationLog.objects.surely_open(ends) if not _rests(each)]
    return sum(_settle(job_id) for job_id in random.sample(perhaps, min(len(perhaps), JOBS_AT_ONCE)))


def _settle(job_id: str) -> int:
    with transaction.atomic():
        Job.objects.select_for_update().get(job_id=job_id)
        counts = jobs.count(job_id)
        ended = not counts["pending"] + counts["sent"]
        completed = Job.objects.complete(job_id, counts, clocks.db_now()) if ended else 0
    caches["local"].set(f"counted:{job_id}", True, jobs.rest_s(counts))
    if completed:
        log.info("job completed", extra={"job_id": job_id})
    return completed


def _rests(job_id: str) -> bool:
    """A large job was counted a moment ago; late acks may thaw it again and again."""
    return bool(caches["local"].get(f"counted:{job_id}"))


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
    """What has no other channel that is open is not touched: it stays due. A look that moved nothing is not repeated
    for ten times as long as it took."""
    key = f"detour:{provider}:{credential}"
    if caches["local"].get(key):
        return 0
    began, moved, last = time.monotonic(), 0, 0
    movable = PushNotificationLog.objects.due(now).filter(_another_way(), provider=provider, credential=credential)
    while rows := list(movable.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = rows[-1].pk
        moved += moving.move_on(rows, now)
        if stopping.told():
            break
    if not moved:
        caches["local"].set(key, True, DETOUR_REST * (time.monotonic() - began))
    return moved


def _another_way() -> Exists:
    """A message's device has another channel that can be used now."""
    open_now = Q(pk__in=[])
    for provider, credential in fanout.available():
        open_now |= Q(provider=provider, credential=credential)
    ways = Channel.objects.usable().filter(open_now, device__device_id=OuterRef("device_id"))
    return Exists(ways.exclude(pk=OuterRef("channel_id")))


def _in_chunks(step: Callable[[], int]) -> int:
    total = 0
    while (changed := step()) > 0:
        total += changed
        crash_points.passing("after_sweep_chunk")
        if changed < CHUNK or stopping.told():
            break
    return total
