"""The hourly numbers a second time: row by row, in plain Python, from nothing but the raw rows.

It shares no statement with counting.py, so that the two can only agree where both are right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, Q
from django.db.models.functions import TruncHour

from analytics import latency
from analytics.models import HourlyRollup
from delivery.models import DeliveryAttempt, PushNotificationLog, Status

Key = tuple[str | None, str]
"""Site id and provider."""

HOUR = timedelta(hours=1)
COUNTS = (
    "ordered", "delivered", "late", "failed", "expired", "cancelled", "skipped", "handed_over", "fallback", "skewed",
    "opened", "clicked", "latency_count", "latency_sum_ms", "attempted", "accepted", "retries",
)  # fmt: skip
FIELDS = (*COUNTS, "verdicts", "refused", "latency", "times", "handoff")
ROWS_AT_ONCE = 2_000


@dataclass(slots=True)
class Tally:
    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    times_ms: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def as_fields(self) -> dict[str, Any]:
        histograms = {part: latency.histogram(sorted(values)) for part, values in sorted(self.times_ms.items())}
        return {
            **{name: self.counts[name] for name in COUNTS},
            "verdicts": dict(self.verdicts),
            "refused": dict(self.refused),
            "latency": histograms.pop("latency", {}),
            "handoff": histograms.pop("taken", {}),
            "times": histograms,
        }


def last_sent() -> dict[datetime, datetime]:
    """By hour of order: when the last message of it was handed over. One look at the whole log, for many hours."""
    sent = PushNotificationLog.objects.exclude(sent_at=None)
    return dict(
        sent.annotate(hour=TruncHour("created_at", tzinfo=UTC)).values_list("hour").annotate(Max("sent_at")).order_by()
    )


def of_hour(hour: datetime, last_sent: Mapping[datetime, datetime]) -> dict[Key, dict[str, Any]]:
    """Every number of the hour, by site and provider."""
    tallies: defaultdict[Key, Tally] = defaultdict(Tally)
    for push, attempts in _messages_about(hour, last_sent):
        if _is_in(hour, push.created_at):
            _count_message(tallies[push.site_id, _under(push, attempts)], push)
        if push.sent_at is not None and _is_in(hour, push.sent_at):
            after_others = any(attempt.started_at < push.sent_at for attempt in attempts)
            _count_accepted(tallies[push.site_id, push.taken_by], push.handoff_ms, after_others)
        for number, attempt in enumerate(attempts):
            if _is_in(hour, attempt.started_at):
                again = number > 0 or (push.sent_at is not None and push.sent_at < attempt.started_at)
                _count_attempt(tallies[push.site_id, attempt.provider], attempt, again)
    return {key: tally.as_fields() for key, tally in tallies.items()}


def as_stored(hour: datetime) -> dict[Key, dict[str, Any]]:
    """What the rollups say of the hour, in the same form."""
    rows = HourlyRollup.objects.filter(hour=hour).values("site_id", "provider", *FIELDS)
    return {(row.pop("site_id"), row.pop("provider")): row for row in rows}


def _messages_about(
    hour: datetime, last_sent: Mapping[datetime, datetime]
) -> Iterator[tuple[PushNotificationLog, list[DeliveryAttempt]]]:
    """Messages that were ordered in the hour, or tried in it."""
    end = hour + HOUR
    about = Q(created_at__gte=hour, created_at__lt=end)
    for made, last in last_sent.items():
        if made < hour <= last:
            about |= Q(created_at__gte=made, created_at__lt=made + HOUR, sent_at__gte=hour, sent_at__lt=end)
    about |= Q(pk__in=DeliveryAttempt.objects.filter(started_at__gte=hour, started_at__lt=end).values("push"))
    rows = PushNotificationLog.objects.filter(about)
    for push in rows.prefetch_related("attempts").order_by().iterator(chunk_size=ROWS_AT_ONCE):
        yield push, sorted(push.attempts.all(), key=lambda attempt: attempt.pk)


def _is_in(hour: datetime, moment: datetime) -> bool:
    return hour <= moment < hour + HOUR


def _under(push: PushNotificationLog, attempts: list[DeliveryAttempt]) -> str:
    first = attempts[0].provider if attempts else push.fallback_from or push.provider
    return push.taken_by or first


def _count_message(tally: Tally, push: PushNotificationLog) -> None:
    tally.counts["ordered"] += 1
    if push.status not in (Status.PENDING, Status.SENT):
        tally.counts["late" if push.late else str(push.status)] += 1
    if push.verdict:
        tally.verdicts[push.verdict] += 1
    if push.sent_at is not None or push.status == Status.DELIVERED:
        tally.counts["handed_over"] += 1
        tally.counts["fallback"] += push.fallback_from != ""
    if push.status == Status.DELIVERED:
        tally.counts["skewed"] += push.clock_skewed
        tally.counts["opened"] += push.opened_at is not None
        tally.counts["clicked"] += push.clicked_at is not None
        _count_times(tally, push)


def _count_times(tally: Tally, push: PushNotificationLog) -> None:
    if push.latency_ms is None or push.sent_at is None:
        return
    received_at = push.sent_at + timedelta(milliseconds=push.latency_ms)
    if push.opened_at is not None:
        tally.times_ms["to_open"].append(_ms(push.opened_at - received_at))
    if push.late:
        return
    handoff_ms = min(push.handoff_ms or 0, push.latency_ms)
    parts_ms = {
        "queue": _ms(push.sent_at - push.created_at),
        "handoff": handoff_ms,
        "transit": push.latency_ms - handoff_ms,
        "ack_return": _ms((push.acked_at or push.sent_at) - received_at),
    }
    for part, ms in (*parts_ms.items(), ("end_to_end", sum(parts_ms.values())), ("latency", push.latency_ms)):
        tally.times_ms[part].append(ms)
    tally.counts.update(latency_count=1, latency_sum_ms=push.latency_ms)


def _ms(between: timedelta) -> int:
    """Whole milliseconds, half of one up, none below zero."""
    return max(0, (between // timedelta(microseconds=1) + 500) // 1000)


def _count_accepted(tally: Tally, handoff_ms: int | None, after_others: bool) -> None:
    tally.counts.update(attempted=1, accepted=1, retries=int(after_others))
    if handoff_ms is not None:
        tally.times_ms["taken"].append(handoff_ms)


def _count_attempt(tally: Tally, attempt: DeliveryAttempt, again: bool) -> None:
    if attempt.outcome == "accepted":
        _count_accepted(tally, attempt.took_ms, again)
        return
    tally.counts.update(attempted=1, retries=int(again))
    tally.refused[attempt.outcome] += 1
