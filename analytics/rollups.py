"""Step 8: rebuild one hour from the log; twice gives the same rows.

`roll_up` marks the hours that may have changed since it last looked, then counts each marked hour anew from the raw
rows (counting.py): delete and insert in one transaction, under a lock on the hour's RollupState row. A run that dies
leaves its marks.

An hour may have changed, and is marked, if since MARGIN before the last look
- a message of it was born (message ids begin with their time; `created_at` is the job's and may lie hours back),
- a message of it was acked (receipt ids begin with their time): this is how late acks correct their hour,
- a message of it was tried in vain,
- a message of it was judged (judging.py marks its hour itself),
- its open messages are in other states or on other providers than at its last count (handed over, moved on untried,
  expired, failed, cancelled),
- or it is one of the hours since then itself, because attempts are counted in their own hour.
Whatever can change an hour leaves one of these traces. MARGIN is for what was committed later than its time says: a
transaction in flight, the result of a send that outlived its message, a worker whose clock is off.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import TruncHour

from analytics import counting, totals
from analytics.counting import HOUR
from analytics.models import HourlyRollup, RollupState
from delivery import clocks
from delivery.models import DeliveryAttempt, PushNotificationLog, Receipt

MARGIN = timedelta(minutes=15)


def roll_up() -> int:
    """Count every hour that may have changed since the last time; how many hours it counted."""
    mark_changed(clocks.db_now())
    hours = list(RollupState.objects.to_count().values_list("hour", flat=True))
    return sum(count_hour(hour) for hour in hours)


# --- Which hours -----------------------------------------------------------------------------------------------------
def mark_changed(now: datetime) -> int:
    """Mark the hours that may have changed since the last look. The marks also remember that we looked."""
    looked_at = RollupState.objects.looked_at()
    if looked_at is None:
        first = PushNotificationLog.objects.aggregate(first=Min("created_at"))["first"] or now
        since = min(first, now) - MARGIN
    else:
        since = min(looked_at, now) - MARGIN
    changed = set(hours_between(since, now)) | _changed_since(since) | _moved_on()
    marks = [RollupState(hour=hour, dirty=True, looked_at=now) for hour in sorted(changed)]
    RollupState.objects.bulk_create(
        marks, update_conflicts=True, unique_fields=["hour"], update_fields=["dirty", "looked_at"]
    )
    return len(marks)


def mark(moments: Iterable[datetime]) -> None:
    """Count the hours of messages of these `created_at` again. What nobody looked at yet is counted in any case."""
    looked_at = RollupState.objects.looked_at()
    if looked_at is None:
        return
    marks = [RollupState(hour=hour, looked_at=looked_at) for hour in sorted({hour_of(moment) for moment in moments})]
    RollupState.objects.bulk_create(marks, update_conflicts=True, unique_fields=["hour"], update_fields=["dirty"])


def hours_between(first: datetime, last: datetime) -> Iterator[datetime]:
    hour = hour_of(first)
    while hour <= last:
        yield hour
        hour += HOUR


def _changed_since(since: datetime) -> set[datetime]:
    """Hours with messages that were born, acked or tried in vain since then."""
    born = PushNotificationLog.objects.filter(message_id__gte=_first_id(since))
    acked = Receipt.objects.filter(id__gte=_first_id(since))
    tried = DeliveryAttempt.objects.filter(started_at__gte=since)
    return _hours(born, "created_at") | _hours(acked, "push__created_at") | _hours(tried, "push__created_at")


def _moved_on() -> set[datetime]:
    """Hours whose open messages are in other places than when they were counted."""
    now = _open_by_hour(PushNotificationLog.objects.open())
    at_count = dict(RollupState.objects.exclude(open={}).values_list("hour", "open"))
    return {hour for hour in now.keys() | at_count.keys() if now.get(hour) != at_count.get(hour)}


def _open_by_hour(messages: QuerySet[PushNotificationLog]) -> dict[datetime, dict[str, int]]:
    """How many messages of each hour wait in which state, on which provider, after which."""
    found: defaultdict[datetime, dict[str, int]] = defaultdict(dict)
    groups: Iterable[Any] = (
        messages.annotate(hour=TruncHour("created_at", tzinfo=UTC))
        .values_list("hour", "status", "provider", "fallback_from")
        .annotate(count=Count("id"))
        .order_by()
    )
    for hour, *place, count in groups:
        found[hour][" ".join(place)] = count
    return found


def _hours(rows: QuerySet[Any], field: str) -> set[datetime]:
    return set(rows.order_by().values_list(TruncHour(field, tzinfo=UTC), flat=True).distinct())


def _first_id(moment: datetime) -> UUID:
    """No id of version 7 that was made at this moment or after it is smaller."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


# --- One hour --------------------------------------------------------------------------------------------------------
@transaction.atomic
def count_hour(hour: datetime) -> bool:
    """Count one marked hour anew; False if it was no longer marked, because another run counted it meanwhile.

    Nor is one that is sealed: its raw rows do not tell the whole hour any more.
    """
    state = RollupState.objects.select_for_update().get(hour=hour)
    if not state.dirty or state.sealed_at is not None:
        return False
    _count(state)
    return True


@transaction.atomic
def seal(hour: datetime, last_at: datetime | None) -> bool:
    """Count an hour for the last time: from now on its raw rows may go. False where that was done meanwhile."""
    state = RollupState.objects.select_for_update().get(hour=hour)
    if state.sealed_at is not None:
        return False
    state.last_at, state.sealed_at = last_at, clocks.db_now()
    _count(state)
    return True


def _count(state: RollupState) -> None:
    hour = state.hour
    _let_it_sort_in_memory()
    counted = counting.of_hour(hour)
    open_now = PushNotificationLog.objects.open().filter(created_at__gte=hour, created_at__lt=hour + HOUR)
    state.open = _open_by_hour(open_now).get(hour, {}) if counted.any_open else {}
    state.last_sent_at = counted.last_sent_at
    state.dirty, state.counted_at = False, (counted_at := clocks.db_now())
    state.save()
    HourlyRollup.objects.filter(hour=hour).delete()
    HourlyRollup.objects.write(hour, counted.rows)
    totals.write(hour, counted_at, counted.rows)


def _let_it_sort_in_memory() -> None:
    """For this transaction: the values of a large hour are a few dozen MB."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64MB'")
