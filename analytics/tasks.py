"""Celery entry points: one line of body each."""

from celery import shared_task

from analytics import rollups


@shared_task(name="analytics.roll_up")
def roll_up() -> int:
    """Count the hours that changed; twice, or twice at once, gives the same rows."""
    return rollups.roll_up()
