"""Celery entry points: one line of body each."""

from celery import shared_task

from analytics import judging, rollups


@shared_task(name="analytics.roll_up")
def roll_up() -> int:
    """Count the hours that changed; twice, or twice at once, gives the same rows."""
    return rollups.roll_up()


@shared_task(name="analytics.judge")
def judge() -> int:
    """Say why messages were not delivered in time; twice, or twice at once, gives the same rows."""
    return judging.judge_ripe()
