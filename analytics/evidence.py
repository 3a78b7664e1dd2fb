"""What is known about one message that was not delivered in time: plain values, and no opinion.

Gathered by gathering.py, judged by verdicts.py.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from delivery.models.device import ONLINE_FOR

A_MOMENT = timedelta(seconds=5)
"""Heard for less than this after the send, a device was not there to take it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The attempts that were not accepted: the last of them, and how many there were."""

    provider: str
    outcome: str
    code: str
    times: int


@dataclass(frozen=True, slots=True)
class Gate:
    """The trouble with the message's credential that held it back longest; `share` is of the message's life."""

    provider: str
    trouble: str
    why: str
    share: float


class Presence(Enum):
    """Whether a device was there to take a message."""

    ONLINE = "online"
    OFFLINE = "offline"
    NOT_YET_KNOWN = "not yet known"
    """It was heard shortly before, and its next heartbeat may still say that it was there all the while."""
    NEVER_HEARD = "never heard"
    """It sends no heartbeats."""


@dataclass(frozen=True, slots=True)
class Span:
    """The last time that a device was online before a message's time was over."""

    online_from: datetime
    last_seen: datetime

    def presence(self, start: datetime, end: datetime, judged_at: datetime) -> Presence:
        """Whether the device was there between `start` and `end`, as far as `judged_at` can tell."""
        moment = min(A_MOMENT, (end - start) / 2)
        if self.last_seen >= start + moment:
            return Presence.ONLINE if self.online_from <= end - moment else Presence.OFFLINE
        return Presence.NOT_YET_KNOWN if judged_at - self.last_seen <= ONLINE_FOR else Presence.OFFLINE


@dataclass(frozen=True, slots=True)
class Others:
    """Of some devices those that were online within a day before: how many, and who was there."""

    known: int = 0
    online: int = 0
    not_yet_known: int = 0


@dataclass(frozen=True, slots=True)
class Acks:
    """Messages that a provider accepted in the same time, and how many of them were acked, late ones too."""

    taken: int = 0
    acked: int = 0

    @property
    def share(self) -> float:
        return self.acked / self.taken if self.taken else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One message, and what happened around it. Times are ours."""

    judged_at: datetime
    status: str
    code: str = ""
    """The row's `error_code`."""
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None = None
    acked_at: datetime | None = None
    arrived_at: datetime | None = None
    """When the device had it, by its corrected clock; None where it is not known."""
    provider: str
    """Who accepted it, else whom it waited for last."""
    accepted_code: str = ""
    """What the provider noted on accepting: its hint about the device."""
    tried: Tried | None = None
    gate: Gate | None = None
    configured: bool = True
    """Its credential can be used."""
    gone: str = ""
    """The provider's code for a channel of the device that it called dead, where the message had none to go by."""
    holder_died: bool = False
    """A worker died while it held the message."""
    seen: Span | None = None
    """The device; None where it was never heard."""
    acked_others: bool = False
    """The device acked another message of the same minute."""
    others: Others = Others()
    """The other devices of the site."""
    fleet: Others = Others()
    """A sample of the devices of all sites: where none of them was heard, we were not listening."""
    here: Acks = Acks()
    """The same provider at this site, on other devices that were not offline."""
    elsewhere: Acks = Acks()
    """The same provider at all other sites."""

    @property
    def presence(self) -> Presence:
        if self.seen is None:
            return Presence.ONLINE if self.acked_others else Presence.NEVER_HEARD
        return self.seen.presence(self.sent_at or self.created_at, self.expires_at, self.judged_at)

    @property
    def life(self) -> timedelta:
        return self.expires_at - self.created_at

    @property
    def left(self) -> timedelta:
        """Of its life, when a provider had it; nothing where none ever had."""
        return self.expires_at - self.sent_at if self.sent_at is not None else timedelta(0)
