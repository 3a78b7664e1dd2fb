"""What stands open: what, where, since when, and what it probably comes from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from analytics.pages.asked import Asked
from delivery.admin.alerts import links
from delivery.models import Alert

MOST = 10
COLUMNS = ("kind", "subject", "site", "provider", "text", "cause", "opened_at", "last_seen_at", "times", "taken_by")


@dataclass(frozen=True, slots=True)
class Shown:
    alert: Alert
    links: list[tuple[str, str]]
    """Labels and paths: what it is about, its messages first."""
    muted: bool


def standing(asked: Asked) -> list[Shown]:
    """The newest first."""
    return [Shown(alert, links(alert), alert.is_muted(asked.now)) for alert in _of(asked)[:MOST]]


def lines(asked: Asked) -> Iterator[list[Any]]:
    for alert in _of(asked).iterator():
        opened, seen = alert.opened_at.isoformat(), alert.last_seen_at.isoformat()
        about = [alert.kind, alert.subject, alert.site_id or "", alert.provider, alert.text, alert.cause]
        yield [*about, opened, seen, alert.times, alert.taken_by]


def _of(asked: Asked) -> QuerySet[Alert]:
    """Of the site; else of all sites in reach, and what concerns all of them."""
    found = Alert.objects.standing().select_related("site")
    if asked.provider is not None:
        found = found.filter(provider__in=["", asked.provider])
    if asked.site is not None:
        return found.filter(site=asked.site)
    if asked.everywhere:
        return found
    return found.filter(Q(site_id__in=asked.site_ids) | Q(site=None))
