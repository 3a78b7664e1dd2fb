"""Step 9: give each message that was not delivered in time its verdict, and look again when more may be known.

A message is ripe at once where its end says why (failed, cancelled, late), else `LOOKS` after its time was over: the
ack may still be on its way, the next heartbeat shows who was there, and the site's other messages end, too. An ack that
comes later takes the verdict back, and the message is judged anew. Only rows that have ended are written, none that
somebody else holds, and only as long as they are what was judged: twice, or twice at once, gives the same rows.
"""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet

from analytics import rollups, verdicts
from analytics.gathering import gather
from analytics.verdicts import Judgement
from delivery import clocks, stopping
from delivery.models import PushNotificationLog, Status, setwise
from delivery.models.push_log import UNJUDGED

log = logging.getLogger(__name__)

LOOKS = (timedelta(seconds=20), timedelta(seconds=150), timedelta(minutes=15))
"""After the end of a message's time: its ack is not coming; heartbeats are complete; the whole site is."""
BATCH = 500
BUDGET_S = 10.0
"""A run that has more to do leaves it to the next."""

LOG = "push_notification_logs"


def judge_ripe() -> int:
    """Judge what is ripe, the longest waiting first; how many verdicts changed."""
    ends_at = time.monotonic() + BUDGET_S
    now = clocks.db_now()
    return sum(_judge_all(which, now, ends_at) for which in (_ripe(now), _due_again(now)))


def _judge_all(which: QuerySet[PushNotificationLog], now: datetime, ends_at: float) -> int:
    """Batch by batch: what is judged is not among them any more. What somebody else holds is left to the next run."""
    changed = 0
    while rows := list(which[:BATCH]):
        judged = _judge(rows, now)
        changed += judged.changed
        if judged.written < len(rows) or time.monotonic() > ends_at or stopping.told():
            break
    return changed


def _ripe(now: datetime) -> QuerySet[PushNotificationLog]:
    over = ~Q(status=Status.EXPIRED) | Q(expires_at__lte=now - LOOKS[0])
    return PushNotificationLog.objects.filter(UNJUDGED, over).order_by("pk")


def _due_again(now: datetime) -> QuerySet[PushNotificationLog]:
    return PushNotificationLog.objects.filter(judge_at__lte=now).order_by("judge_at")


class Judged(NamedTuple):
    written: int
    changed: int


def _judge(rows: Sequence[PushNotificationLog], now: datetime) -> Judged:
    judged = [(row, verdicts.judge(found)) for row, found in zip(rows, gather(rows, now), strict=True)]
    changed = [row for row, said in judged if row.verdict != said.verdict]
    with transaction.atomic():
        if changed:
            rollups.mark(row.created_at for row in changed)
        return Judged(_write(judged, now), len(changed))


def _next_look(row: PushNotificationLog, now: datetime) -> datetime | None:
    """When more may be known about a message that nobody confirmed; None: never."""
    if row.status != Status.EXPIRED:
        return None
    return next((row.expires_at + after for after in LOOKS if row.expires_at + after > now), None)


def _write(judged: Sequence[tuple[PushNotificationLog, Judgement]], now: datetime) -> int:
    """On rows that are still what was judged, and that nobody else holds: an ack never waits for a verdict."""
    table, params = setwise.rows(
        {
            "id": "bigint", "status": "text", "before": "text", "verdict": "text", "evidence": "text",
            "judge_at": "timestamptz",
        },
        [
            (row.pk, row.status, row.verdict, said.verdict.value, said.evidence, _next_look(row, now))
            for row, said in judged
        ],
    )  # fmt: skip
    ids, id_params = setwise.rows({"id": "bigint"}, [(row.pk,) for row, _ in judged])
    return setwise.execute(
        f"""
        WITH free AS MATERIALIZED (
            SELECT m.id FROM {LOG} AS m WHERE m.id IN (SELECT r.id FROM {ids}) {setwise.for_update_skip_locked()})
        UPDATE {LOG} AS m SET verdict = r.verdict, evidence = r.evidence, judge_at = r.judge_at
        FROM {table}
        WHERE m.id = r.id AND m.id IN (SELECT id FROM free) AND m.status = r.status AND m.verdict = r.before
        """,
        [*id_params, *params],
    )
