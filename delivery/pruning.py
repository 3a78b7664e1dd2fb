"""What is old goes: small transactions in key order, children before parents, a pause after each.

Twice, twice at once or killed in the middle is harmless: a message goes with all that hangs on it or not at all, and
what somebody else holds is left to the next run. How long what is kept: docs/retention.md. Which hours of the log may
go, says who counts them: analytics/pruning.py.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Min, QuerySet

from delivery import crash_points, stopping
from delivery.models import PushNotificationLog, setwise
from delivery.models.push_log import ENDED

BATCH = 500
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much goes at a time, for how long others have their turn after it, and when to stop."""

    batch: int = BATCH
    pause_s: float = PAUSE_S
    ends_at_s: float = float("inf")
    """On the monotonic clock: what is left is for the next run."""

    @property
    def over(self) -> bool:
        return time.monotonic() > self.ends_at_s or stopping.told()

    def rest(self) -> None:
        crash_points.passing("after_sweep_chunk")
        time.sleep(self.pause_s)


def ended_in(first: datetime, end: datetime) -> QuerySet[PushNotificationLog]:
    """Messages ordered in [first, end) that have ended."""
    return PushNotificationLog.objects.filter(created_at__gte=first, created_at__lt=end, status__in=ENDED)


def delete_messages(first: datetime, end: datetime, pace: Pace) -> Iterator[Counter[str]]:
    """Delete what was ordered in [first, end) and has ended; after each transaction, how many rows of which table."""
    messages = ended_in(first, end).order_by("pk")
    found = messages.order_by().aggregate(first=Min("pk"), last=Max("pk"))
    last, highest = (found["first"] or 0) - 1, found["last"] or 0
    while last < highest and not pace.over:
        window = messages.filter(pk__gt=last, pk__lte=highest).select_for_update(skip_locked=True)
        with transaction.atomic():
            rows = list(window.values_list("pk", "message_id")[: pace.batch])
            gone = _delete_with_children([pk for pk, _ in rows], [message_id for _, message_id in rows])
        last = rows[-1][0] if rows else highest
        yield gone
        pace.rest()


def _delete_with_children(ids: list[int], message_ids: list[object]) -> Counter[str]:
    by_id, ids_sql = setwise.rows({"id": "bigint"}, [(pk,) for pk in ids])
    by_uuid, uuids_sql = setwise.rows({"id": "uuid"}, [(message_id,) for message_id in message_ids])
    return Counter(
        {
            "receipts": setwise.execute(
                f"DELETE FROM push_delivery_logs WHERE push_id IN (SELECT r.id FROM {by_uuid})", uuids_sql
            ),
            "attempts": setwise.execute(
                f"DELETE FROM delivery_deliveryattempt WHERE push_id IN (SELECT r.id FROM {by_id})", ids_sql
            ),
            "messages": setwise.execute(
                f"DELETE FROM push_notification_logs WHERE id IN (SELECT r.id FROM {by_id})", ids_sql
            ),
        }
    )
