"""What goes into the log's verbs and comes out of them: plain values, many at a time."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewRow:
    message_id: UUID
    device_id: str
    site_id: str | None
    provider: str
    credential: str
    channel_id: int | None
    fallback_from: str = ""
    """The provider of the channel that came first and cannot send now."""
    skipped: str = ""
    """Why the device gets nothing; empty for a message that is to be sent."""

    @property
    def ids(self) -> dict[str, str]:
        """As log lines name the message."""
        return {"message_id": str(self.message_id), "device_id": self.device_id}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that the caller holds until its lease ends."""

    id: int
    message_id: UUID
    device_id: str
    job_id: str
    channel_id: int
    provider: str
    credential: str
    priority: int
    attempt_count: int
    created_at: datetime
    expires_at: datetime

    @property
    def ids(self) -> dict[str, str]:
        """As log lines name the message."""
        return {"message_id": str(self.message_id), "device_id": self.device_id, "job_id": self.job_id}

    sent_at: datetime | None = None
    """Set where a channel before this one accepted it already, and no ack came."""


@dataclass(frozen=True, slots=True)
class Sent:
    id: int
    sent_at: datetime
    provider_message_id: str
    code: str
    hedge_at: datetime | None = None
    """When it goes out on the next channel too, unless it was acked by then."""
    handoff_ms: int | None = None
    """From `sent_at` to the provider's answer."""


@dataclass(frozen=True, slots=True)
class Again:
    """Due again at `next_attempt_at` (None: it waits in the inbox), on the channel named here."""

    id: int
    provider: str
    credential: str
    channel_id: int | None
    next_attempt_at: datetime | None
    attempt_count: int
    fallback_from: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    id: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the acks of one message together say: the device has it."""

    message_id: UUID
    device_id: str
    received_at: datetime
    by_device_clock: bool
    opened_at: datetime | None
    clicked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The device got the message and could not take it."""

    message_id: UUID
    device_id: str
    code: str
    detail: str
