"""What one hour holds, counted by the database: a few statements, whatever the number of rows.

The same row by row, to compare with: recount.py. What each number means: docs/numbers.md.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from analytics import latency
from analytics.latency import EDGES_MS
from analytics.models import RollupState
from delivery.models import DeliveryAttempt, PushNotificationLog, setwise
from delivery.models.counted import FIGURES, TAKEN_BY, counted_under
from delivery.outcomes import OutcomeKind

HOUR = timedelta(hours=1)

Key = tuple[str | None, str]
"""Site id and provider."""
Rows = defaultdict[Key, dict[str, Any]]
"""The fields of one rollup by key."""

LOG = "push_notification_logs"
ACCEPTED = OutcomeKind.ACCEPTED.value
TAKEN_BY_SQL = "CASE WHEN m.accepted_by = '' THEN m.provider ELSE m.accepted_by END"


def of_hour(hour: datetime) -> Rows:
    rows: Rows = defaultdict(dict)
    _messages(rows, hour)
    _verdicts(rows, hour)
    _times(rows, hour)
    for made in RollupState.objects.made_what_was_sent_in(hour).values_list("hour", flat=True):
        _accepted(rows, hour, made)
        _accepted_after_others(rows, hour, made)
    _attempts(rows, hour)
    return rows


# --- Messages, in the hour in which they were ordered
def _messages(rows: Rows, hour: datetime) -> None:
    groups: Iterable[Any] = (
        _made_in(hour)
        .annotate(under=counted_under())
        .values("site_id", "under")
        .annotate(
            ordered=Count("id"),
            delivered=Count("id", filter=FIGURES["delivered"]),
            too_late=Count("id", filter=FIGURES["late"]),
            failed=Count("id", filter=FIGURES["failed"]),
            expired=Count("id", filter=FIGURES["expired"]),
            cancelled=Count("id", filter=FIGURES["cancelled"]),
            skipped=Count("id", filter=FIGURES["skipped"]),
            handed_over=Count("id", filter=FIGURES["handed_over"]),
            fallback=Count("id", filter=FIGURES["fallback"]),
            skewed=Count("id", filter=FIGURES["skewed"]),
            opened=Count("id", filter=FIGURES["opened"]),
            clicked=Count("id", filter=FIGURES["clicked"]),
        )
        .order_by()
    )
    for row in groups:
        rows[row.pop("site_id"), row.pop("under")].update(row, late=row.pop("too_late"))


def _verdicts(rows: Rows, hour: datetime) -> None:
    groups: Iterable[Any] = (
        _made_in(hour)
        .exclude(verdict="")
        .annotate(under=counted_under())
        .values_list("site_id", "under", "verdict")
        .annotate(count=Count("id"))
        .order_by("verdict")
    )
    for site_id, under, verdict, count in groups:
        rows[site_id, under].setdefault("verdicts", {})[verdict] = count


def _made_in(hour: datetime) -> QuerySet[PushNotificationLog]:
    return PushNotificationLog.objects.filter(created_at__gte=hour, created_at__lt=hour + HOUR)


def _times(rows: Rows, hour: datetime) -> None:
    """The histograms of what arrived with a clock that made sense: in time, and what of it was opened.

    The four parts of a message add up to its end_to_end: a provider's answer that came after the device had the
    message counts up to that moment, and an ack cannot come back before the message was received.
    """
    found = setwise.fetch(
        f"""
        WITH arrived AS MATERIALIZED (
            SELECT m.site_id, {TAKEN_BY_SQL} AS under, m.latency_ms, m.expired_at IS NULL AS in_time,
                   {_ms(setwise.us_between("m.sent_at", "m.created_at"))} AS queue_ms,
                   CASE WHEN COALESCE(m.handoff_ms, 0) < m.latency_ms THEN COALESCE(m.handoff_ms, 0)
                        ELSE m.latency_ms END AS handoff_ms,
                   {_ms(setwise.us_between("COALESCE(m.acked_at, m.sent_at)", "m.sent_at") + " - 1000 * m.latency_ms")}
                       AS return_ms,
                   {_ms(setwise.us_between("m.opened_at", "m.sent_at") + " - 1000 * m.latency_ms")} AS open_ms
            FROM {LOG} AS m
            WHERE m.created_at >= %s AND m.created_at < %s AND m.status = 'delivered' AND m.latency_ms IS NOT NULL
              AND m.sent_at IS NOT NULL),
        parts AS (
            SELECT 'latency' AS part, site_id, under, latency_ms AS ms FROM arrived WHERE in_time
            UNION ALL SELECT 'queue', site_id, under, queue_ms FROM arrived WHERE in_time
            UNION ALL SELECT 'handoff', site_id, under, handoff_ms FROM arrived WHERE in_time
            UNION ALL SELECT 'transit', site_id, under, latency_ms - handoff_ms FROM arrived WHERE in_time
            UNION ALL SELECT 'ack_return', site_id, under, return_ms FROM arrived WHERE in_time
            UNION ALL SELECT 'end_to_end', site_id, under, queue_ms + latency_ms + return_ms FROM arrived WHERE in_time
            UNION ALL SELECT 'to_open', site_id, under, open_ms FROM arrived WHERE open_ms IS NOT NULL)
        SELECT part, site_id, under, {BUCKET} AS bucket, COUNT(*), SUM(ms), MIN(ms), MAX(ms)
        FROM parts GROUP BY part, site_id, under, bucket ORDER BY bucket
        """,
        [hour, hour + HOUR],
        ["text", "text", "text", "bigint", "bigint", "bigint", "bigint", "bigint"],
    )
    for part, site_id, under, bucket, *held in found:
        fields = rows[site_id, under]
        histograms = fields if part == "latency" else fields.setdefault("times", {})
        histograms.setdefault(part, {})[str(bucket)] = [int(number) for number in held]
        if part == "latency":
            _add(fields, latency_count=int(held[0]), latency_sum_ms=int(held[1]))


def _ms(microseconds: str) -> str:
    """Whole milliseconds, and none below zero: our clocks differ by a little, too."""
    return f"CASE WHEN {microseconds} < 0 THEN 0 ELSE ({microseconds} + 500) / 1000 END"


# --- Attempts, in their own hour
def _accepted(rows: Rows, hour: datetime, made: datetime) -> None:
    """The first accepted attempt of a message stands in the log row itself."""
    found = setwise.fetch(
        f"""
        WITH taken AS (
            SELECT m.site_id, {TAKEN_BY_SQL} AS taken_by, m.handoff_ms AS ms FROM {LOG} AS m
            WHERE m.created_at >= %s AND m.created_at < %s AND m.sent_at >= %s AND m.sent_at < %s)
        SELECT site_id, taken_by, CASE WHEN ms IS NULL THEN NULL ELSE {BUCKET} END AS bucket,
               COUNT(*), SUM(ms), MIN(ms), MAX(ms)
        FROM taken GROUP BY site_id, taken_by, bucket ORDER BY bucket
        """,
        [made, made + HOUR, hour, hour + HOUR],
        ["text", "text", "bigint", "bigint", "bigint", "bigint", "bigint"],
    )
    for site_id, taken_by, bucket, count, *held in found:
        fields = rows[site_id, taken_by]
        _add(fields, attempted=count, accepted=count)
        if bucket is not None:
            _hold(fields, bucket, [count, *map(int, held)])


def _accepted_after_others(rows: Rows, hour: datetime, made: datetime) -> None:
    """Those of them that were not the first attempt of their message. Few rows have others, so begin with those."""
    groups: Iterable[Any] = (
        PushNotificationLog.objects.filter(
            created_at__gte=made, created_at__lt=made + HOUR, sent_at__gte=hour, sent_at__lt=hour + HOUR
        )
        .filter(attempts__started_at__gte=made, attempts__started_at__lt=F("sent_at"))
        .annotate(asked=TAKEN_BY)
        .values("site_id", "asked")
        .annotate(count=Count("id", distinct=True))
        .order_by()
    )
    for row in groups:
        _add(rows[row["site_id"], row["asked"]], retries=row["count"])


def _attempts(rows: Rows, hour: datetime) -> None:
    """Attempts with rows of their own: refused, or accepted when a channel before had accepted too."""
    earlier = DeliveryAttempt.objects.filter(push=OuterRef("push"), id__lt=OuterRef("id"))
    groups: Iterable[Any] = (
        DeliveryAttempt.objects.filter(started_at__gte=hour, started_at__lt=hour + HOUR)
        .annotate(retried=Exists(earlier))
        .values("push__site_id", "provider", "outcome")
        .annotate(count=Count("id"), retries=Count("id", filter=Q(retried=True) | Q(push__sent_at__lt=F("started_at"))))
        .order_by("outcome")
    )
    for row in groups:
        fields = rows[row["push__site_id"], row["provider"]]
        _add(fields, attempted=row["count"], retries=row["retries"])
        if row["outcome"] == ACCEPTED:
            _add(fields, accepted=row["count"])
        else:
            fields.setdefault("refused", {})[row["outcome"]] = row["count"]
    _handoff_of_second_acceptances(rows, hour)


def _handoff_of_second_acceptances(rows: Rows, hour: datetime) -> None:
    found = setwise.fetch(
        f"""
        WITH taken AS (
            SELECT m.site_id, a.provider, a.took_ms AS ms
            FROM delivery_deliveryattempt AS a JOIN {LOG} AS m ON m.id = a.push_id
            WHERE a.started_at >= %s AND a.started_at < %s AND a.outcome = %s)
        SELECT site_id, provider, {BUCKET} AS bucket, COUNT(*), SUM(ms), MIN(ms), MAX(ms)
        FROM taken GROUP BY site_id, provider, bucket
        """,
        [hour, hour + HOUR, ACCEPTED],
        ["text", "text", "bigint", "bigint", "bigint", "bigint", "bigint"],
    )
    for site_id, provider, bucket, *held in found:
        _hold(rows[site_id, provider], bucket, [int(number) for number in held])


def _hold(fields: dict[str, Any], bucket: int, held: list[int]) -> None:
    """Add a bucket to the hand-off histogram."""
    fields["handoff"] = latency.merge([fields.get("handoff", {}), {str(bucket): held}])


def _add(fields: dict[str, Any], **counts: int) -> None:
    for name, count in counts.items():
        fields[name] = fields.get(name, 0) + count


def _bucket_sql(first: int = 0, last: int = len(EDGES_MS)) -> str:
    """`latency.bucket` of the column `ms`: the same search by halves over the same edges."""
    if first == last:
        return str(first)
    middle = (first + last) // 2
    lower, upper = _bucket_sql(first, middle), _bucket_sql(middle + 1, last)
    return f"CASE WHEN ms < {EDGES_MS[middle]} THEN {lower} ELSE {upper} END"


BUCKET = _bucket_sql()
