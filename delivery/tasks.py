"""Celery entry points: one line of body each. A task may run twice, late or never; the rows say what is due."""

from typing import Any

from celery import shared_task
from celery.signals import task_prerun, task_success, worker_process_shutdown
from django.conf import settings

from delivery import (
    challenges,
    clocks,
    commands,
    event_loop,
    fanout,
    heartbeats,
    job_control,
    ranks,
    sending,
    sweeps,
    watchdog,
)
from delivery.models import setwise

FINDS_BY_KEY = {"delivery.send", "delivery.send_alone", "delivery.fan_out"}


@shared_task(name="delivery.send", soft_time_limit=settings.TASK_LIMIT_S)
def send(provider: str) -> int:
    """Send one batch of what is most urgent on this provider; twice is harmless (the claim guards it)."""
    return sending.send_batch(provider)


@shared_task(name="delivery.send_alone", soft_time_limit=settings.TASK_LIMIT_S)
def send_alone(provider: str) -> int:
    """Send one row whose last holder died."""
    return sending.send_alone(provider)


@shared_task(name="delivery.fan_out", soft_time_limit=settings.TASK_LIMIT_S)
def fan_out() -> int:
    """Write some chunks of the most urgent jobs that are not fanned out."""
    return fanout.fan_out()


@shared_task(name="delivery.expire")
def expire() -> int:
    """End what nobody acked within its TTL."""
    return sweeps.expire()


@shared_task(name="delivery.expire_commands")
def expire_commands() -> int:
    """End the commands whose time is over."""
    return commands.expire()


@shared_task(name="delivery.hold_back")
def hold_back() -> int:
    """What workers gave back of paused and cancelled jobs follows its job."""
    return job_control.hold_back()


@shared_task(name="delivery.release_lost")
def release_lost() -> int:
    """Free the rows that dead workers hold."""
    return sweeps.release_lost()


@shared_task(name="delivery.rehint")
def rehint() -> int:
    """Wake workers for what is due."""
    return sweeps.rehint()


@shared_task(name="delivery.resume_jobs")
def resume_jobs() -> int:
    """Wake the fan-out for unfinished jobs."""
    return sweeps.resume_jobs()


@shared_task(name="delivery.settle_jobs")
def settle_jobs() -> int:
    """Complete jobs whose every message has ended."""
    return sweeps.settle_jobs()


@shared_task(name="delivery.close_silent_spans")
def close_silent_spans() -> int:
    """End the online spans of devices that fell silent."""
    return heartbeats.close_silent(clocks.db_now())


@shared_task(name="delivery.archive_silent_channels")
def archive_silent_channels() -> int:
    """Put away channels that were silent for 90 days."""
    return sweeps.archive_silent_channels()


@shared_task(name="delivery.forget_idempotency_keys")
def forget_idempotency_keys() -> int:
    """Let idempotency keys go after 30 days."""
    return sweeps.forget_idempotency_keys()


@shared_task(name="delivery.warn_of_expiring_credentials")
def warn_of_expiring_credentials() -> int:
    """Tell somebody about keys and certificates that end within 30 days."""
    return sweeps.warn_of_expiring_credentials()


@shared_task(name="delivery.settle_ranks")
def settle_ranks() -> int:
    """Bring channels into the order that pins and demotions give them."""
    return ranks.settle_all()


@shared_task(name="delivery.judge_overdue")
def judge_overdue() -> int:
    """Decide about channels that were parked a minute ago."""
    return sweeps.judge_overdue()


@shared_task(name="delivery.detour")
def detour() -> int:
    """Move what waits behind a gate that has been closed for long to its next channel."""
    return sweeps.detour()


@shared_task(name="delivery.hedge")
def hedge() -> int:
    """Send what nobody acked in time on the next channel too."""
    return sweeps.hedge()


@shared_task(name="delivery.push_challenges", soft_time_limit=settings.TASK_LIMIT_S)
def push_challenges(provider: str) -> int:
    """Push the codes that addresses are asked with."""
    return challenges.push_due(provider)


@shared_task(name="delivery.rehint_challenges")
def rehint_challenges() -> int:
    """Wake workers for challenges that are due."""
    return challenges.rehint()


@shared_task(name="delivery.forget_challenges")
def forget_challenges() -> int:
    """Delete challenges that ended a day ago."""
    return challenges.forget()


@task_prerun.connect
def plan_for_it(sender: Any, **_: object) -> None:
    """What handles messages knows them by their keys, however small the planner takes the log for."""
    setwise.find_by_key(sender.name in FINDS_BY_KEY)


@task_success.connect
def note_it(sender: Any, result: int, **_: object) -> None:
    """A sweep ran, whatever it found; rows of a queue were taken."""
    if sender.name in settings.CELERY_BEAT_SCHEDULE:
        watchdog.note(sender.name)
    elif result:
        watchdog.note(sender.request.delivery_info["routing_key"])


@worker_process_shutdown.connect
def close_providers(**_: object) -> None:
    """The last thing a worker process does."""
    event_loop.close()
