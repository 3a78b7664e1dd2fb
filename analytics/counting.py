"""What one hour holds, counted by the database: a few statements, whatever the number of rows.

The same row by row, to compare with: recount.py. What each number means: docs/numbers.md.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import RawSQL

from analytics import latency
from analytics.latency import EDGES_MS
from analytics.models import RollupState
from delivery.models import DeliveryAttempt, PushNotificationLog, setwise
from delivery.models.counted import FIGURES, TAKEN_BY, counted_under
from delivery.models.setwise import Held, Kind
from delivery.outcomes import OutcomeKind

HOUR = timedelta(hours=1)

Key = tuple[str | None, str]
"""Site id and provider."""
Rows = defaultdict[Key, dict[str, Any]]
"""The fields of one rollup by key. Histograms that the database made stay the JSON text that it made."""

LOG = "push_notification_logs"
ACCEPTED = OutcomeKind.ACCEPTED.value
TAKEN_BY_SQL = "CASE WHEN m.accepted_by = '' THEN m.provider ELSE m.accepted_by END"
COUNTED = (
    "delivered", "failed", "expired", "cancelled", "skipped", "handed_over", "fallback", "skewed", "opened", "clicked",
)  # fmt: skip
"""Fields that count what the figure of the same name counts."""


@dataclass(slots=True)
class Hour:
    """What one hour holds."""

    rows: Rows = field(default_factory=lambda: defaultdict(dict))
    any_open: bool = False
    last_sent_at: datetime | None = None
    """When the last of its messages was handed over."""


def of_hour(hour: datetime) -> Hour:
    counted = Hour()
    _messages(counted, hour)
    rows = counted.rows
    _verdicts(rows, hour)
    for made in RollupState.objects.made_what_was_sent_in(hour).values_list("hour", flat=True):
        if made != hour:
            _accepted(rows, hour, made)
        _accepted_after_others(rows, hour, made)
    _attempts(rows, hour)
    return counted


# --- Messages, in the hour in which they were ordered, and the accepted attempts of those that were sent in it, too
def _messages(counted: Hour, hour: datetime) -> None:
    """One look at the hour. What goes into histograms is held by group meanwhile, so that each message meets one group
    of a few hundred values, and not each of its values one of a hundred thousand buckets."""
    sql, params = _held(hour).query.sql_with_params()
    histograms = ", ".join(f"{_histogram(f'held.{part}')} AS {part}_buckets" for part in HISTOGRAMS)
    texts: list[setwise.Kind] = ["text"] * len(HISTOGRAMS)
    found = setwise.fetch(
        f"WITH held AS MATERIALIZED ({sql}) SELECT {', '.join(SUMMED)}, {histograms} FROM held",
        params,
        [*SUMMED.values(), *texts],
    )
    for row in found:
        sums: dict[str, Any] = dict(zip(SUMMED, row, strict=False))
        buckets = {part: f"{{{text}}}" for part, text in zip(HISTOGRAMS, row[len(SUMMED) :], strict=True) if text}
        _keep(counted, sums, buckets)


def _keep(counted: Hour, sums: dict[str, Any], buckets: dict[str, str]) -> None:
    fields = counted.rows[sums.pop("site_id"), sums.pop("under")]
    last_sent_at, taken = sums.pop("last_sent"), sums.pop("taken_here")
    counted.any_open = counted.any_open or bool(sums.pop("not_ended"))
    counted.last_sent_at = max(filter(None, (counted.last_sent_at, last_sent_at)), default=None)
    fields.update(
        {name: int(number or 0) for name, number in sums.items()},
        late=int(sums["too_late"]), attempted=taken, accepted=taken,
        latency=buckets.pop("latency", "{}"), handoff=buckets.pop("taken", "{}"),
    )  # fmt: skip
    del fields["too_late"]
    fields["times"] = "{" + ",".join(f'"{part}":{text}' for part, text in buckets.items()) + "}"


def _held(hour: datetime) -> QuerySet[PushNotificationLog, Any]:
    """By site and provider: sums, and for each histogram its values (ms).

    The four parts of a message add up to its end_to_end: a provider's answer that came after the device had the
    message counts up to that moment, and an ack cannot come back before the message was received.
    """
    measured, sent_in_it = FIGURES["measured"], Q(sent_at__gte=hour, sent_at__lt=hour + HOUR)
    queue_ms = _ms(setwise.us_between("sent_at", "created_at"))
    handoff_ms = "CASE WHEN COALESCE(handoff_ms, 0) < latency_ms THEN COALESCE(handoff_ms, 0) ELSE latency_ms END"
    return_ms = _ms(setwise.us_between("COALESCE(acked_at, sent_at)", "sent_at") + " - 1000 * latency_ms")
    open_ms = _ms(setwise.us_between("opened_at", "sent_at") + " - 1000 * latency_ms")
    opened = FIGURES["opened"] & Q(latency_ms__isnull=False, sent_at__isnull=False)
    return (
        _made_in(hour)
        .annotate(under=counted_under())
        .values("site_id", "under")
        .annotate(
            ordered=Count("id"),
            **{name: Count("id", filter=FIGURES[name]) for name in COUNTED},
            too_late=Count("id", filter=FIGURES["late"]),
            not_ended=Count("id", filter=FIGURES["open"]),
            taken_here=Count("id", filter=sent_in_it),
            last_sent=Max("sent_at"),
            latency_count=Count("id", filter=measured),
            latency_sum_ms=Sum("latency_ms", filter=measured),
            latency=Held("latency_ms", filter=measured),
            queue=Held(RawSQL(queue_ms, []), filter=measured),
            handoff=Held(RawSQL(handoff_ms, []), filter=measured),
            transit=Held(RawSQL(f"latency_ms - {handoff_ms}", []), filter=measured),
            ack_return=Held(RawSQL(return_ms, []), filter=measured),
            end_to_end=Held(RawSQL(f"{queue_ms} + latency_ms + {return_ms}", []), filter=measured),
            to_open=Held(RawSQL(open_ms, []), filter=opened),
            taken=Held("handoff_ms", filter=sent_in_it & Q(handoff_ms__isnull=False)),
        )
        .order_by()
    )


SUMMED: dict[str, Kind] = {
    "site_id": "text", "under": "text", "ordered": "bigint", **dict.fromkeys(COUNTED, "bigint"), "too_late": "bigint",
    "not_ended": "bigint", "taken_here": "bigint", "last_sent": "timestamptz", "latency_count": "bigint",
    "latency_sum_ms": "bigint",
}  # fmt: skip
HISTOGRAMS = ("latency", "queue", "handoff", "transit", "ack_return", "end_to_end", "to_open", "taken")


def _histogram(held: str) -> str:
    """SQL for the inside of a histogram's JSON; NULL where nothing is held."""
    text = "'\"' || bucket || '\":[' || COUNT(*) || ',' || SUM(value) || ',' || MIN(value) || ',' || MAX(value) || ']'"
    return f"""(SELECT {setwise.joined("text")} FROM (
        SELECT {text} AS text
        FROM (SELECT value, {setwise.bucket("value", EDGES_MS)} AS bucket FROM {setwise.each(held)} AS value) AS placed
        GROUP BY bucket) AS buckets)"""


def _ms(microseconds: str) -> str:
    """Whole milliseconds, and none below zero: our clocks differ by a little, too."""
    return f"CASE WHEN {microseconds} < 0 THEN 0 ELSE ({microseconds} + 500) / 1000 END"


def _verdicts(rows: Rows, hour: datetime) -> None:
    """Only what was missed has one, which an index knows."""
    groups: Iterable[Any] = (
        _made_in(hour)
        .filter(FIGURES["not_in_time"])
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


# --- Attempts, in their own hour
def _accepted(rows: Rows, hour: datetime, made: datetime) -> None:
    """Of messages of an earlier hour. The first accepted attempt of a message stands in the log row itself."""
    found = setwise.fetch(
        f"""
        WITH taken AS (
            SELECT m.site_id, {TAKEN_BY_SQL} AS taken_by, m.handoff_ms AS ms FROM {LOG} AS m
            WHERE m.created_at >= %s AND m.created_at < %s AND m.sent_at >= %s AND m.sent_at < %s)
        SELECT site_id, taken_by, CASE WHEN ms IS NULL THEN NULL ELSE {setwise.bucket("ms", EDGES_MS)} END AS bucket,
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
        .filter(
            Q(attempts__started_at__lt=F("sent_at")),  # and so before the hour's end, which an index can look for
            attempts__started_at__gte=made,
            attempts__started_at__lt=hour + HOUR,
        )
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
        SELECT site_id, provider, {setwise.bucket("ms", EDGES_MS)} AS bucket, COUNT(*), SUM(ms), MIN(ms), MAX(ms)
        FROM taken GROUP BY site_id, provider, bucket
        """,
        [hour, hour + HOUR, ACCEPTED],
        ["text", "text", "bigint", "bigint", "bigint", "bigint", "bigint"],
    )
    for site_id, provider, bucket, *held in found:
        _hold(rows[site_id, provider], bucket, [int(number) for number in held])


def _hold(fields: dict[str, Any], bucket: int, held: list[int]) -> None:
    """Add a bucket to the hand-off histogram."""
    before = fields.get("handoff", {})
    known = json.loads(before) if isinstance(before, str) else before
    fields["handoff"] = latency.merge([known, {str(bucket): held}])


def _add(fields: dict[str, Any], **counts: int) -> None:
    for name, count in counts.items():
        fields[name] = fields.get(name, 0) + count
