"""Step 5: what one attempt led to. Returned by providers, never raised."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class OutcomeKind(Enum):
    ACCEPTED = "accepted"
    """The provider has the message. Only the device's ack says that it arrived."""
    RETRY = "retry"
    """Nobody's fault: the same channel, later."""
    THROTTLED = "throttled"
    """We send too fast: slow down, then the same channel again."""
    ADDRESS_GONE = "address_gone"
    """A documented answer says that the provider no longer knows this address."""
    REJECTED = "rejected"
    """This message is wrong for this channel; the channel stays."""
    MISCONFIGURED = "misconfigured"
    """Our credential, topic or project is wrong; message and channel stay."""


NO_ANSWER = "no_answer"
"""The code of an unknown outcome: a timeout or a reset never tells whether the provider took the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one attempt; `code` is the provider's own word, verbatim."""

    kind: OutcomeKind
    code: str = ""
    provider_message_id: str = ""
    retry_after_s: float | None = None
    """What this answer itself asks for."""
    least_wait_s: float = 0.0
    """What the provider's pages ask for, whatever the answer says. Such a repeat is paced like any other."""
    detail: str = ""
    """Our own words for a person, at most 500 characters; never the other side's text, never an address."""
    gone_since: datetime | None = None
    """With `address_gone`: a channel registered after this moment is alive. None where the provider names none."""

    of_address: bool = False
    """A failure that speaks of this address alone: the provider is well."""

    @property
    def floor_s(self) -> float:
        """The same channel is not tried again sooner."""
        return max(self.retry_after_s or 0.0, self.least_wait_s)


def accepted(provider_message_id: str = "", code: str = "") -> Outcome:
    return Outcome(kind=OutcomeKind.ACCEPTED, code=code, provider_message_id=provider_message_id)


def no_answer(detail: str) -> Outcome:
    """The attempt was cut off: the same message goes out again under the same id."""
    return Outcome(kind=OutcomeKind.RETRY, code=NO_ANSWER, detail=detail[:500])
