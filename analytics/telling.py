"""Tell people of alerts: once when one opens, once when it closes, and again where telling failed.

What is to be told stands in rows before anything is sent: a process that dies in between loses nothing, and tells at
most once too often. It runs in a thread of its own, so that a mail server that hangs holds up no sweep.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from analytics import destinations
from analytics.destinations import Destination, Word
from delivery import clocks
from delivery.models import Alert, AlertNotice
from delivery.models.alert_notice import AlertEvent

log = logging.getLogger(__name__)

AT_ONCE = 50
"""So many alerts stand in one letter at most."""
LEASE = timedelta(seconds=120)
"""Longer than any try takes; then somebody else may tell."""
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3_600.0
MOST_TRIES = 60
"""Two days and a half."""

_busy = threading.Lock()


def start() -> int:
    """Tell in the background whatever is due; 0 where this process is at it already."""
    if not _busy.acquire(blocking=False):
        return 0
    threading.Thread(target=_run, name="telling", daemon=True).start()
    return 1


def _run() -> None:
    try:
        tell_due()
    except DatabaseError as error:
        log.warning("database away", extra={"why": type(error).__name__})
    except Exception:
        log.exception("telling of alerts failed")
    finally:
        connection.close()
        _busy.release()


def tell_due() -> int:
    """Note what is to be told, then tell it; how many destinations were told."""
    known = destinations.configured()
    note_due(list(known), clocks.db_now())
    told = 0
    for name, notices in _due_by_destination(clocks.db_now()).items():
        told += _tell(known.get(name), notices)
    return told


# --- What is to be told
def note_due(names: Sequence[str], now: datetime) -> int:
    """A row for each opening and closing that each of these destinations is to be told of; how many alerts it was."""
    return sum(_note(pk, names, now) for pk in list(Alert.objects.to_tell().values_list("pk", flat=True)[:1000]))


@transaction.atomic
def _note(pk: int, names: Sequence[str], now: datetime) -> int:
    """Muted, its opening waits until it is not muted any more; one that ends meanwhile is told to nobody."""
    alert = Alert.objects.select_for_update().get(pk=pk)
    muted = alert.is_muted(now)
    if alert.opening_told_at is None and not (muted and alert.closed_at is None):
        alert.opening_told_at = now
        if not muted:
            _add(alert, AlertEvent.OPENED, names, now)
    if alert.closed_at is not None and alert.closing_told_at is None:
        alert.closing_told_at = now
        if not muted:
            _add(alert, AlertEvent.CLOSED, _who_knows(alert), now)
    alert.save(update_fields=["opening_told_at", "closing_told_at"])
    return 1


def _add(alert: Alert, event: AlertEvent, names: Sequence[str], now: datetime) -> None:
    AlertNotice.objects.bulk_create(
        [AlertNotice(alert=alert, event=event, destination=name, due_at=now) for name in names], ignore_conflicts=True
    )


def _who_knows(alert: Alert) -> list[str]:
    """Who was told of the opening, or still will be."""
    opened = AlertNotice.objects.filter(alert=alert, event=AlertEvent.OPENED, given_up_at=None)
    return list(opened.values_list("destination", flat=True))


# --- Telling it
def _due_by_destination(now: datetime) -> Mapping[str, list[AlertNotice]]:
    """The oldest first. Nobody hears that something is over before they heard that it began."""
    unheard = AlertNotice.objects.filter(
        alert=OuterRef("alert"), destination=OuterRef("destination"), event=AlertEvent.OPENED, told_at=None
    )
    due: QuerySet[AlertNotice] = AlertNotice.objects.due(now).select_related("alert")
    ready = due.exclude(Exists(unheard.filter(given_up_at=None)), event=AlertEvent.CLOSED)
    found: defaultdict[str, list[AlertNotice]] = defaultdict(list)
    for notice in ready[: 20 * AT_ONCE]:
        if len(found[notice.destination]) < AT_ONCE:
            found[notice.destination].append(notice)
    return found


def _tell(destination: Destination | None, notices: Sequence[AlertNotice]) -> int:
    """One letter with all that is due for one destination; 1 where it went out."""
    now = clocks.db_now()
    mine = [notice for notice in notices if AlertNotice.objects.claim(notice.pk, now=now, until=now + LEASE)]
    if not mine:
        return 0
    error = destination.tell(letter(mine)) if destination is not None else "it is not configured any more"
    now = clocks.db_now()
    if error:
        _again(mine, error, now, for_good=destination is None)
        return 0
    for notice in mine:
        AlertNotice.objects.mark_told(notice.pk, now)
    log.info("told of alerts", extra={"destination": mine[0].destination, "alerts": len(mine)})
    return 1


def _again(notices: Sequence[AlertNotice], error: str, now: datetime, *, for_good: bool) -> None:
    log.warning("alerts could not be told", extra={"destination": notices[0].destination, "why": error})
    for notice in notices:
        tries = notice.tries + 1
        if for_good or tries >= MOST_TRIES:
            AlertNotice.objects.give_up(notice.pk, error, now)
        else:
            wait_s = min(FIRST_WAIT_S * 2.0 ** min(tries - 1, 20), LONGEST_WAIT_S)
            AlertNotice.objects.mark_failed(notice.pk, error, again_at=now + timedelta(seconds=wait_s))


# --- How it reads
def letter(notices: Sequence[AlertNotice]) -> Word:
    """What is, where, since when, what it most likely comes from, and where to look."""
    closed = [notice for notice in notices if notice.event == AlertEvent.CLOSED]
    if len(notices) == 1:
        title = f"{_word(notices[0])}: {notices[0].alert.kind} {notices[0].alert.subject}"
    else:
        title = f"{len(notices) - len(closed)} alerts opened, {len(closed)} closed"
    return Word(
        title=f"HOMEPOT {title}",
        body="\n\n".join(_paragraph(notice) for notice in notices),
        good=len(closed) == len(notices),
    )


def _word(notice: AlertNotice) -> str:
    return "closed" if notice.event == AlertEvent.CLOSED else "alert"


def _paragraph(notice: AlertNotice) -> str:
    alert = notice.alert
    since = f"Since {alert.opened_at:%Y-%m-%d %H:%M} UTC"
    if notice.event == AlertEvent.CLOSED and alert.closed_at is not None:
        since += f", over at {alert.closed_at:%Y-%m-%d %H:%M} UTC"
    lines = [
        f"{_word(notice).upper()} {alert.kind}: {alert.subject}",
        alert.text,
        f"{since}.",
        *([f"Most likely: {alert.cause}"] if alert.cause else []),
        settings.PUBLIC_URL + reverse("admin:delivery_alert_change", args=[alert.pk]),
    ]
    return "\n".join(lines)
