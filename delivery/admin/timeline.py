"""The way of one message, moment by moment, as its rows tell it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from delivery.admin.looks import LOOKS, NOTHING, duration, local, moment, word_of, zone_of
from delivery.models import DeliveryAttempt, PushNotificationLog
from delivery.models.channel import PROVIDER_CHOICES
from delivery.models.push_log import INBOX
from delivery.outcomes import OutcomeKind

PROVIDER_NAMES = dict(PROVIDER_CHOICES)


@dataclass(frozen=True, slots=True)
class Step:
    """One moment. `at` is our clock, or the device's corrected to ours."""

    at: datetime
    look: str
    """The state (looks.py) whose colour and shape it has."""
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A step as the page writes it."""

    look: str
    shape: str
    utc: SafeString | str
    local: str
    after: str
    """Since the step before it."""
    what: str
    detail: str


def lines(push: PushNotificationLog) -> list[Line]:
    zone = zone_of(push.site)
    written, before = [], None
    for step in steps(push):
        after = NOTHING if before is None else f"+ {duration((step.at - before).total_seconds() * 1000)}"
        shape = LOOKS[step.look].shape
        written.append(Line(step.look, shape, moment(step.at), local(step.at, zone), after, step.what, step.detail))
        before = step.at
    return written


def steps(push: PushNotificationLog) -> list[Step]:
    """All that happened, in order of time; what happened at the same moment stays in the order of the way."""
    found = [*_before_the_device(push), *_on_the_device(push), *_end(push)]
    return sorted(found, key=lambda step: step.at)


def _before_the_device(push: PushNotificationLog) -> Iterator[Step]:
    yield Step(push.created_at, "pending", "Ordered", f"priority {push.get_priority_display()}")
    for attempt in push.attempts.all():
        yield _attempt(attempt)
    if push.sent_at is None:
        return
    if push.taken_by == INBOX:
        yield Step(push.sent_at, "sent", "Fetched by the device from its inbox")
        return
    told = f"its id: {push.provider_message_id}" if push.provider_message_id else ""
    moved = f"after {push.fallback_from}" if push.fallback_from and not push.accepted_by else ""
    took = f"took {duration(push.handoff_ms)}" if push.handoff_ms is not None else ""
    taken_by = PROVIDER_NAMES.get(push.taken_by, push.taken_by)
    yield Step(push.sent_at, "sent", f"Accepted by {taken_by}", _joined(moved, push_code(push), told, took))


def push_code(push: PushNotificationLog) -> str:
    return push.accepted_code


def _attempt(attempt: DeliveryAttempt) -> Step:
    took = f"took {duration(attempt.took_ms)}"
    if attempt.outcome == OutcomeKind.ACCEPTED.value:
        return Step(attempt.started_at, "sent", f"Accepted by {attempt.provider} too", _joined(attempt.code, took))
    what = f"Tried on {attempt.provider}: {attempt.outcome.replace('_', ' ')}"
    return Step(attempt.started_at, "failed", what, _joined(attempt.code, attempt.detail, took))


def _on_the_device(push: PushNotificationLog) -> Iterator[Step]:
    if push.arrived_at is not None:
        clock = f"the device's clock said {push.received_at:%H:%M:%S.%f}"[:-3] if push.clock_offset_ms else ""
        yield Step(push.arrived_at, word_of(push), "Received by the device", _joined(_latency(push), clock))
    if push.acked_at is not None:
        skewed = (
            f"its clock said {push.received_at:%Y-%m-%d %H:%M:%S}, which cannot be"
            if push.received_at is not None and push.clock_skewed
            else ""
        )
        refused = push.status == "failed"
        yield Step(push.acked_at, word_of(push), "Refused by the device" if refused else "Ack committed", skewed)
    if push.opened_at is not None:
        yield Step(push.opened_at, word_of(push), "Opened by a person")
    if push.clicked_at is not None:
        yield Step(push.clicked_at, word_of(push), "Clicked by a person")


def _end(push: PushNotificationLog) -> Iterator[Step]:
    if push.expired_at is not None:
        yield Step(push.expired_at, "expired", "Time was over without an ack")


def ending(push: PushNotificationLog) -> str:
    """How it ended, for the ends that leave no moment of their own."""
    if push.status in ("failed", "cancelled", "skipped"):
        return _joined(push.error_code, push.error_message)
    if push.status == "pending":
        return "Waits in the inbox until the device fetches it." if push.provider == INBOX else "Waits for its turn."
    return ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why it was not delivered in time, above the timeline."""

    verdict: str
    evidence: str
    looks_again: SafeString | str
    """When it is judged again, as more may be known then; empty where that is settled."""


def why(push: PushNotificationLog) -> Reason | None:
    """None for what arrived in time, is still on its way, or ended this moment and is not judged yet."""
    if not push.verdict:
        return None
    again = "" if push.judge_at is None else moment(push.judge_at)
    return Reason(push.get_verdict_display(), push.evidence, again)


def _latency(push: PushNotificationLog) -> str:
    return "" if push.latency_ms is None else f"{duration(push.latency_ms)} after it was sent"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
