"""Let go of what is old: first seal the hours that are over for good, then delete their messages, then all else.

A sealed hour was counted for the last time and is never counted again, so its numbers outlive its rows. An hour is
sealed when all of it happened longer ago than the log is kept: every message has ended, and its order, attempts and ack
lie before that, as does its time to live where it did not arrive. Attempts are counted in their own hour; so an hour
waits for every hour, up to its own last moment, that cannot be sealed yet.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet

from analytics import rollups
from analytics.counting import HOUR
from analytics.models import HourlyRollup, HourlyTotal, RollupState, Zombie
from delivery import clocks, pruning, retention
from delivery.models import DeliveryAttempt, Job, PushNotificationLog
from delivery.models.push_log_verbs import PushNotificationLogQuerySet
from delivery.pruning import Pace
from delivery.retention import Rule

log = logging.getLogger(__name__)

BUDGET_S = 15.0
"""A run of the sweep that has more to do leaves it to the next."""

Say = Callable[[str], None]


def sweep() -> int:
    """Let go of what is old, for a few seconds; how many rows. Twice, or twice at once, is harmless."""
    pace = Pace(ends_at_s=time.monotonic() + BUDGET_S)
    gone = prune(pace, clocks.db_now(), settings.RAW_LOG_DAYS)
    if gone:
        log.info("pruned", extra={"rows": dict(gone)})
    return gone.total()


def prune(pace: Pace, now: datetime, raw_days: int, say: Say = lambda _: None) -> Counter[str]:
    """All that is old, as far as the pace allows; how many rows of which table. `say` hears of every hour and table."""
    before = now - timedelta(days=raw_days)
    gone = Counter[str]()
    for sealed in seal(before, pace):
        say(f"sealed {sealed:%Y-%m-%d %H}h")
    for hour in hours_to_delete():
        gone += sum(pruning.delete_messages(hour, hour + HOUR, pace), Counter())
        say(f"messages of {hour:%Y-%m-%d %H}h; {gone['messages']} so far")
        if pace.over:
            break
    for name, steps in _rest(pace, now, before):
        rows = sum(steps)
        if rows:
            say(f"{name}: {rows}")
        gone[name] += rows
    return +gone


def _rest(pace: Pace, now: datetime, before: datetime) -> Iterator[tuple[str, Iterator[int]]]:
    yield "wiped orders", retention.wipe_jobs(now, pace)
    yield "wiped commands", retention.wipe_commands(now, pace)
    for rule in rules():
        yield rule.name, retention.delete_old(rule, now, pace)
    yield "orders", retention.delete_jobs(before, pace)
    yield "hourly numbers", _delete_rollups(now, pace)
    yield "ended sessions", retention.delete_sessions(now, pace)


def rules() -> Iterator[Rule]:
    ended = Zombie.objects.exclude(closed_at=None)
    return chain(retention.rules(), [Rule("zombies", settings.AUDIT_DAYS, ended, "found_at", "closed_at")])


def preview(now: datetime, raw_days: int) -> Counter[str]:
    """What `prune` would let go, by table; nothing is changed. Hours that are to be sealed count as sealed."""
    before = now - timedelta(days=raw_days)
    hours = [*(hour for hour, _ in sealable(before)), *hours_to_delete()]
    gone = Counter[str]({"messages": sum(pruning.ended_in(hour, hour + HOUR).count() for hour in hours)})
    gone["wiped orders"] = retention.jobs_to_wipe(now).count()
    gone["wiped commands"] = retention.commands_to_wipe(now).count()
    gone.update({rule.name: rule.old(now).count() for rule in rules()})
    gone["orders"] = retention.old_jobs(before).count()
    gone["hourly numbers"] = old_rollups(now).count()
    gone["ended sessions"] = retention.ended_sessions(now).count()
    return +gone


# --- Hours that are over for good
def seal(before: datetime, pace: Pace) -> Iterator[datetime]:
    for hour, last_at in sealable(before):
        if pace.over:
            return
        if rollups.seal(hour, last_at):
            yield hour


def sealable(before: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Hours that can be sealed, each with its last moment; the latest first, so that those that wait for it follow."""
    barrier = rollups.hour_of(before)
    """From here on hours are counted again."""
    unwritten = _hours_with_messages_to_come()
    for state in RollupState.objects.filter(hour__lt=barrier, sealed_at=None).order_by("-hour"):
        last_at = None if state.hour in unwritten else _over_since(state, before)
        if last_at is not None and last_at < barrier:
            yield state.hour, last_at
        else:
            barrier = state.hour


def _over_since(state: RollupState, before: datetime) -> datetime | None:
    """The hour's last moment, where nothing of it happened since `before`, nor will happen."""
    if state.dirty or state.counted_at is None or state.open:
        return None
    if state.last_at is not None and state.last_at >= before:
        return None  # as was found before: nothing makes it earlier
    if _messages_of(state.hour).open().exists():
        return None
    last_at = _last_moment(state.hour)
    if last_at >= before:
        RollupState.objects.filter(pk=state.pk).update(last_at=last_at)
        return None
    return last_at


def _last_moment(hour: datetime) -> datetime:
    missed = ~Q(status__in=["delivered", "skipped"])
    moments: dict[str, datetime | None] = _messages_of(hour).aggregate(
        sent=Max("sent_at"), acked=Max("acked_at"), over=Max("expires_at", filter=missed)
    )
    tried = DeliveryAttempt.objects.filter(push__created_at__gte=hour, push__created_at__lt=hour + HOUR)
    moments |= tried.aggregate(tried=Max("started_at"))
    return max([hour, *(moment for moment in moments.values() if moment is not None)])


def _messages_of(hour: datetime) -> PushNotificationLogQuerySet:
    return PushNotificationLog.objects.filter(created_at__gte=hour, created_at__lt=hour + HOUR)


def _hours_with_messages_to_come() -> set[datetime]:
    """Hours of orders whose messages are still to be written, and of those that they retry."""
    orders = Job.objects.filter(fanned_out_at=None).values_list("created_at", "retry_of__created_at")
    return {rollups.hour_of(moment) for order in orders for moment in order if moment is not None}


def hours_to_delete() -> list[datetime]:
    """Sealed hours that have messages which ended, the oldest first."""
    first = PushNotificationLog.objects.aggregate(first=Min("created_at"))["first"]
    if first is None:
        return []
    here = RollupState.objects.sealed().filter(hour__gte=rollups.hour_of(first)).order_by("hour")
    hours = here.values_list("hour", flat=True)
    return [hour for hour in hours if pruning.ended_in(hour, hour + HOUR).exists()]


# --- The numbers
def old_rollups(now: datetime) -> QuerySet[HourlyRollup]:
    """Hourly numbers that are older than ROLLUP_DAYS, of sealed hours alone."""
    if settings.ROLLUP_DAYS == retention.NEVER:
        return HourlyRollup.objects.none()
    sealed = RollupState.objects.sealed().filter(hour=OuterRef("hour"))
    return HourlyRollup.objects.filter(Exists(sealed), hour__lt=now - timedelta(days=settings.ROLLUP_DAYS))


def _delete_rollups(now: datetime, pace: Pace) -> Iterator[int]:
    hours: list[Any] = list(old_rollups(now).order_by("hour").values_list("hour", flat=True).distinct())
    for hour in hours:
        if pace.over:
            return
        HourlyTotal.objects.filter(hour=hour).delete()
        yield HourlyRollup.objects.filter(hour=hour).delete()[0]
        pace.rest()
