"""What people do to a job under way: pause it, resume it, call it off, or try again for whoever it missed.

Each is one transaction of guarded UPDATEs, so that of two who click at once exactly one did it. Rows that a worker
holds are left to it; what it gives back follows the job within seconds (`hold_back`).
"""

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import IntegrityError, transaction

from delivery import clocks, hints
from delivery.models import AuditLog, Device, Job, PushNotificationLog, setwise
from delivery.models.job import JobStatus

log = logging.getLogger(__name__)


def pause(job: Job, *, actor: str) -> bool:
    """Nothing of it is sent, and no life of a waiting message runs out, until `resume`. False: its state forbids it."""

    def act(now: datetime) -> bool:
        paused = Job.objects.pause(job.job_id, now)
        if paused:
            PushNotificationLog.objects.park(job.job_id, now=now)
        return bool(paused)

    return _done(job, act, "paused", actor)


def resume(job: Job, *, actor: str) -> bool:
    """Go on where it was paused, with the time that was left. False: it is not paused."""

    def act(now: datetime) -> bool:
        resumed = Job.objects.resume(job.job_id, now)
        if resumed:
            PushNotificationLog.objects.unpark(job.job_id, now=now)
            hints.wake_fanout()
        return bool(resumed)

    return _done(job, act, "resumed", actor)


def cancel(job: Job, *, actor: str) -> bool:
    """Call off what no device has acked. A device that has it may still say so. False: it has ended."""

    def act(now: datetime) -> bool:
        cancelled = Job.objects.cancel(job.job_id, now)
        if cancelled:
            PushNotificationLog.objects.unpark(job.job_id, now=now)
            PushNotificationLog.objects.cancel(job.job_id, now=now, code="cancelled")
        return bool(cancelled)

    return _done(job, act, "cancelled", actor)


def retry_failed(job: Job, *, reach: list[str] | None, actor: str) -> Job | None:
    """A new job with the same content for the devices that this one failed or expired on, within `reach` (site ids).

    A job is retried once: asking again gives the same new job. None: it has not completed, reached everybody, or its
    payload was wiped.
    """
    earlier = Job.objects.filter(retry_of=job).first()
    if earlier is not None:
        return earlier
    if job.status != JobStatus.COMPLETED or job.wiped_at is not None:
        return None
    if not PushNotificationLog.objects.missed(job.job_id).exists():
        return None
    try:
        with transaction.atomic():
            again = _again(job, reach, actor)
            AuditLog.note(actor, "retried", job, job.job_id, with_job=again.job_id)
            hints.wake_fanout()
    except IntegrityError:  # somebody else retried it this moment
        return Job.objects.get(retry_of=job)
    log.info("job retried", extra={"job_id": again.job_id, "ordered_by": actor})
    return again


def hold_back() -> int:
    """What workers gave back of jobs that were paused or called off meanwhile follows its job; how many rows."""
    now = clocks.db_now()
    paused = Job.objects.filter(status=JobStatus.PAUSED).values_list("job_id", flat=True)
    called_off = Job.objects.to_settle().filter(status=JobStatus.CANCELLED).values_list("job_id", flat=True)
    parked = sum(_park_returned(job_id, now) for job_id in list(paused))
    return parked + sum(
        PushNotificationLog.objects.cancel(job_id, now=now, code="cancelled") for job_id in list(called_off)
    )


def _park_returned(job_id: str, now: datetime) -> int:
    """Park what came back, while nobody can resume the job."""
    with transaction.atomic():
        still = Job.objects.select_for_update().filter(job_id=job_id, status=JobStatus.PAUSED).exists()
        return PushNotificationLog.objects.park(job_id, now=now) if still else 0


def _done(job: Job, act: Callable[[datetime], bool], word: str, actor: str) -> bool:
    def once() -> bool:
        with transaction.atomic():
            done = act(clocks.db_now())
            if done:
                AuditLog.note(actor, word, job, job.job_id)
            return done

    done = setwise.again_on_deadlock(once)
    if done:
        log.info(f"job {word}", extra={"job_id": job.job_id, "by": actor})
        job.refresh_from_db()
    return done


def _again(job: Job, reach: list[str] | None, actor: str) -> Job:
    return Job.objects.create(
        name=job.name,
        target={"retry_of": job.job_id},
        reach=reach,
        payload=job.payload,
        priority=job.priority,
        ttl_s=job.ttl_s,
        collapse_key=job.collapse_key,
        created_at=clocks.db_now(),
        last_device=Device.objects.highest(),
        ordered_by=actor,
        retry_of=job,
    )
