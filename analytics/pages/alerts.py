"""What stands open: what, where, since when, and why probably."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from analytics.pages.asked import Asked
from delivery.models import Alert

SHOWN = 10
COLUMNS = ("kind", "subject", "text", "opened_at", "last_seen_at", "times")


def standing(asked: Asked) -> list[Alert]:
    return list(_of(asked)[:SHOWN])


def lines(asked: Asked) -> Iterator[list[Any]]:
    for alert in _of(asked).iterator():
        opened, seen = alert.opened_at.isoformat(), alert.last_seen_at.isoformat()
        yield [alert.kind, alert.subject, alert.text, opened, seen, alert.times]


def _of(asked: Asked) -> QuerySet[Alert]:
    return Alert.objects.filter(closed_at=None)
