"""Who waits although somebody should have taken it: due rows behind open gates, jobs to fan out, sweeps.

A row that waits for a breaker, for its retry or for a paused job is not due. One whose provider takes others meanwhile
stands in a queue that moves. Neither is a reason to worry.
"""

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max

from delivery import clocks, credentials, gate
from delivery.models import Job, LastRun, PushNotificationLog, Status

FANOUT = "fanout"
NOTED_EVERY_S = 5.0
"""A process writes down no more often than this that it does something."""

_noted: dict[str, float] = {}


def queue_of(provider: str) -> str:
    return f"push.{provider}"


def note(name: str) -> None:
    """A sweep ran, or something of this queue was taken."""
    if time.monotonic() - _noted.get(name, -NOTED_EVERY_S) >= NOTED_EVERY_S:
        LastRun.objects.note(name, clocks.db_now())
        _noted[name] = time.monotonic()


def waits_s(now: datetime) -> dict[str, float]:
    """By queue, how long the first row waits that could be sent now, or the first job to be fanned out."""
    usable = {(provider, name) for provider, named in credentials.usable().items() for name in named}
    waits: dict[str, float] = {}
    for (provider, _), due_at in PushNotificationLog.objects.oldest_due(now, usable - gate.closed()).items():
        queue = queue_of(provider)
        waits[queue] = max(waits.get(queue, 0.0), (now - due_at).total_seconds())
    job = Job.objects.to_fan_out().order_by("created_at").first()
    if job is not None:
        waits[FANOUT] = (now - job.created_at).total_seconds()
    return waits


def overdue(now: datetime) -> dict[str, float]:
    """The queues in which something waits for longer than STALLED_AFTER_S, and for how long (s)."""
    return {queue: wait_s for queue, wait_s in waits_s(now).items() if wait_s > settings.STALLED_AFTER_S}


def stalled(now: datetime) -> dict[str, float]:
    """Those of them from which nobody takes anything."""
    late = overdue(now)
    if not late:
        return {}
    lately = now - timedelta(seconds=settings.STALLED_AFTER_S + NOTED_EVERY_S)
    moving = set(LastRun.objects.filter(name__in=late, ran_at__gt=lately).values_list("name", flat=True))
    held = PushNotificationLog.objects.filter(status=Status.PENDING, claimed_until__gt=now)
    moving |= {queue_of(provider) for provider in held.values_list("provider", flat=True).distinct()}
    return {queue: wait_s for queue, wait_s in late.items() if queue not in moving}


def sweeps_s(now: datetime) -> dict[str, float]:
    """How long ago each sweep ran; those that never did are not in it."""
    ran = LastRun.objects.filter(name__in=settings.CELERY_BEAT_SCHEDULE).values_list("name", "ran_at")
    return {name: (now - ran_at).total_seconds() for name, ran_at in ran}


def sweeps_rest(now: datetime) -> bool:
    """No sweep at all ran for STALLED_AFTER_S: beat, the broker or the workers for `maintenance` stand still."""
    last = LastRun.objects.filter(name__in=settings.CELERY_BEAT_SCHEDULE).aggregate(last=Max("ran_at"))["last"]
    return last is None or now - last > timedelta(seconds=settings.STALLED_AFTER_S + NOTED_EVERY_S)
