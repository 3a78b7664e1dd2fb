"""Celery entry points: one line of body each."""

from celery import shared_task
from django.conf import settings

from analytics import alerts, healing, judging, pruning, rollups, telling, zombies


@shared_task(name="analytics.roll_up")
def roll_up() -> int:
    """Count the hours that changed; twice, or twice at once, gives the same rows."""
    return rollups.roll_up()


@shared_task(name="analytics.judge")
def judge() -> int:
    """Say why messages were not delivered in time; twice, or twice at once, gives the same rows."""
    return judging.judge_ripe()


@shared_task(name="analytics.judge_alerts")
def judge_alerts() -> int:
    """Open and close alerts by what was measured."""
    return alerts.judge_all()


@shared_task(name="analytics.tell_of_alerts")
def tell_of_alerts() -> int:
    """Begin to tell people of alerts, in the background."""
    return telling.start()


@shared_task(name="analytics.find_zombies")
def find_zombies() -> int:
    """Find zombies, and close those that are none any more."""
    return zombies.look()


@shared_task(name="analytics.heal_zombies", soft_time_limit=settings.TASK_LIMIT_S)
def heal_zombies() -> int:
    """Take the next rung with the zombies whose wait is over."""
    return healing.heal()


@shared_task(name="analytics.prune", soft_time_limit=settings.TASK_LIMIT_S)
def prune() -> int:
    """Let go of what is old, a little every time; twice, or twice at once, is harmless."""
    return pruning.sweep()
