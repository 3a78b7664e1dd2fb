"""One message's story, in the order in which it happened."""

from dataclasses import dataclass
from datetime import datetime

from delivery.models import PushNotificationLog, Status


@dataclass(frozen=True, slots=True)
class Event:
    """`what`: ordered, attempt, sent, received, acked, opened, clicked, expired, failed, cancelled or skipped."""

    at: datetime
    what: str
    provider: str = ""
    outcome: str = ""
    code: str = ""
    detail: str = ""
    took_ms: int | None = None


def of(message: PushNotificationLog) -> list[Event]:
    """All that is known of the message, by our clock. Where the device's made no sense there is no `received`."""
    events = [Event(message.created_at, "ordered")]
    events += [
        Event(
            attempt.started_at,
            "attempt",
            attempt.provider,
            attempt.outcome,
            attempt.code,
            attempt.detail,
            attempt.took_ms,
        )
        for attempt in message.attempts.all()
    ]
    moments = {
        "sent": message.sent_at,
        "received": message.arrived_at,
        "acked": message.acked_at,
        "opened": message.opened_at,
        "clicked": message.clicked_at,
        "expired": message.expired_at,
    }
    events += [
        Event(at, what, message.taken_by if what == "sent" else "") for what, at in moments.items() if at is not None
    ]
    events.sort(key=lambda event: event.at)
    if message.status in (Status.FAILED, Status.CANCELLED, Status.SKIPPED):
        last = message.acked_at or events[-1].at
        events.append(Event(last, message.status, code=message.error_code, detail=message.error_message))
    return events
