"""Celery entry points: one line of body each."""

from celery import shared_task

from analytics import alerts, rollups, telling


@shared_task(name="analytics.roll_up")
def roll_up() -> int:
    """Count the hours that changed; twice, or twice at once, gives the same rows."""
    return rollups.roll_up()


@shared_task(name="analytics.judge_alerts")
def judge_alerts() -> int:
    """Open and close alerts by what was measured."""
    return alerts.judge_all()


@shared_task(name="analytics.tell_of_alerts")
def tell_of_alerts() -> int:
    """Begin to tell people of alerts, in the background."""
    return telling.start()
