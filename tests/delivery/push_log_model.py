"""What reliability asks of one message, in plain Python: the state diagram, a row at a time, without SQL.

Each verb changes the row that it is given and says whether the statement of the same name counts it as changed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from delivery.models.job import PAUSED_UNTIL
from delivery.models.push_log_rows import Again, Failed, Refused, Sent

TOLERANCE_MS = 2_000
DEATHS_OF_POISON = 3

ARROWS: dict[tuple[str, str], Collection[str]] = {
    ("pending", "sent"): ("mark_sent", "mark_still_sent", "hand_out"),
    ("pending", "failed"): ("mark_failed", "device_refuses", "release_lost"),
    ("pending", "expired"): ("expire",),
    ("pending", "cancelled"): ("cancel",),
    ("pending", "delivered"): ("device_has",),
    ("sent", "pending"): ("hedge",),
    ("sent", "failed"): ("device_refuses",),
    ("sent", "expired"): ("expire",),
    ("sent", "cancelled"): ("cancel",),
    ("sent", "delivered"): ("device_has",),
    ("expired", "delivered"): ("device_has",),
    ("failed", "delivered"): ("device_has",),
    ("cancelled", "delivered"): ("device_has",),
}
"""Every change of status that there may be, and the verbs that may make it."""


@dataclass(slots=True)
class Row:
    """The columns that decide. Named as in the table, so that the two can be compared."""

    id: int
    message_id: UUID
    device_id: str
    job_id: str
    provider: str
    credential: str
    channel_id: int | None
    status: str
    priority: int
    next_attempt_at: datetime | None
    claimed_until: datetime | None
    claim_token: UUID | None
    claim_alone: bool
    lost_claims: int
    attempt_count: int
    sent_at: datetime | None
    handoff_ms: int | None
    accepted_by: str
    accepted_code: str
    hedge_at: datetime | None
    expires_at: datetime
    expired_at: datetime | None
    received_at: datetime | None
    clock_offset_ms: int | None
    clock_skewed: bool
    acked_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    latency_ms: int | None
    provider_message_id: str
    fallback_from: str
    error_code: str

    @property
    def open(self) -> bool:
        return self.status in ("pending", "sent")

    @property
    def paused(self) -> bool:
        return self.expires_at >= PAUSED_UNTIL

    @property
    def taken_by(self) -> tuple[str, str, int | None, str] | None:
        """Who accepted it first, and what came with that."""
        if self.sent_at is None:
            return None
        return self.accepted_by or self.provider, self.provider_message_id, self.handoff_ms, self.accepted_code

    def held(self, now: datetime) -> bool:
        """A worker has it, and its lease runs."""
        return self.claimed_until is not None and self.claimed_until > now

    # --- one worker
    def claim(self, provider: str, priority: int, *, alone: bool, token: UUID, now: datetime, until: datetime) -> bool:
        due = self.next_attempt_at is not None and self.next_attempt_at <= now < self.expires_at
        wanted = (self.provider, self.priority, self.claim_alone) == (provider, priority, alone)
        if not (self.status == "pending" and wanted and due and self.claim_token is None):
            return False
        self.claim_token, self.claimed_until = token, until
        self.attempt_count += 1
        return True

    def take(self, *, token: UUID, now: datetime, until: datetime) -> bool:
        """As channels.py calls it, for messages on a channel: what is over or paused stays."""
        if self.status != "pending" or self.claim_token is not None or self.channel_id is None:
            return False
        if self.expires_at <= now or self.paused:
            return False
        self.claim_token, self.claimed_until = token, until
        return True

    def give_back(self, *, token: UUID, due_at: datetime) -> bool:
        if self.status != "pending" or self.claim_token != token:
            return False
        self._let_go(due_at)
        self.attempt_count = max(0, self.attempt_count - 1)
        return True

    def mark_sent(self, sent: Sent, *, token: UUID) -> bool:
        if self.claim_token != token:
            return False
        if self.status == "pending":
            self.status, self.error_code = "sent", ""
        if self.sent_at is None:
            self.sent_at, self.handoff_ms = sent.sent_at, sent.handoff_ms
            self.provider_message_id, self.accepted_code = sent.provider_message_id, sent.code
        self.hedge_at = sent.hedge_at
        self._let_go(None)
        self.claim_alone = False
        self._measure()
        return True

    def mark_due_again(self, again: Again, *, token: UUID) -> bool:
        if self.status != "pending" or self.claim_token != token:
            return False
        return self._due_again(again)

    def mark_still_sent(self, *, token: UUID) -> bool:
        if self.status != "pending" or self.claim_token != token:
            return False
        self._as_first_accepted()
        self.claim_alone = False
        self._let_go(None)
        return True

    def mark_failed(self, failed: Failed, *, token: UUID) -> bool:
        if self.status != "pending" or self.claim_token != token:
            return False
        self.status, self.error_code = "failed", failed.code
        self._let_go(None)
        return True

    # --- sweeps
    def move_waiting(self, again: Again, *, seen_at: datetime) -> bool:
        waits = self.next_attempt_at is not None and self.next_attempt_at <= seen_at
        return self.status == "pending" and self.claim_token is None and waits and self._due_again(again)

    def hedge(self, again: Again) -> bool:
        if self.status != "sent" or self.hedge_at is None:
            return False
        self.status, self.hedge_at, self.accepted_by = "pending", None, self.accepted_by or self.provider
        return self._due_again(again)

    def unhedge(self) -> bool:
        if self.status != "sent":
            return False
        self.hedge_at = None
        return True

    def expire(self, now: datetime) -> bool:
        if not self.open or self.expires_at > now or self.held(now):
            return False
        self.status, self.expired_at = "expired", self.expires_at
        self._let_go(None)
        return True

    def release_lost(self, now: datetime) -> bool:
        if self.status != "pending" or self.claimed_until is None or self.held(now):
            return False
        self.lost_claims += self.claim_alone
        if self.claim_alone and self.lost_claims >= DEATHS_OF_POISON:
            self.status, self.error_code = "failed", "poison"
        self._let_go(now if self.status == "pending" else None)
        self.claim_alone = True
        return True

    # --- people and devices
    def cancel(self, job_id: str, *, now: datetime) -> bool:
        if not self.open or self.job_id != job_id or self.held(now):
            return False
        self.status, self.error_code = "cancelled", "recalled"
        self._let_go(None)
        return True

    def park(self, job_id: str, *, now: datetime) -> bool:
        if self.status != "pending" or self.job_id != job_id or self.claim_token is not None:
            return False
        if self.expires_at <= now or self.paused:
            return False
        self.next_attempt_at = PAUSED_UNTIL + (self.next_attempt_at - now) if self.next_attempt_at else PAUSED_UNTIL
        self.expires_at = PAUSED_UNTIL + (self.expires_at - now)
        return True

    def unpark(self, job_id: str, *, now: datetime) -> bool:
        if self.job_id != job_id or not self.paused:
            return False
        waited_until = None if self.provider == "inbox" else self.next_attempt_at
        self.next_attempt_at = now + (waited_until - PAUSED_UNTIL) if waited_until else None
        self.expires_at = now + (self.expires_at - PAUSED_UNTIL)
        return True

    def hand_out(self, device_id: str, now: datetime) -> bool:
        if self.status != "pending" or self.device_id != device_id or self.claim_token is not None or self.paused:
            return False
        self.next_attempt_at = None
        if self.sent_at is not None:
            self._as_first_accepted()
            return True
        if self.provider != "inbox":
            self.fallback_from = self.provider
        self.status, self.provider, self.credential, self.sent_at = "sent", "inbox", "", now
        return True

    def device_has(
        self, device_id: str, statuses: Collection[str], told: datetime | None, offset_ms: int | None, now: datetime
    ) -> bool:
        """The device says so, in one batch; `offset_ms` is what its clock is off by."""
        if self.device_id != device_id or self.status == "skipped":
            return False
        opened, clicked = not {"opened", "clicked"}.isdisjoint(statuses), "clicked" in statuses
        news = (opened and self.opened_at is None) or (clicked and self.clicked_at is None)
        if self.status == "delivered" and not news:
            return False
        if self.received_at is None:
            self.received_at = told or now
            self.clock_offset_ms = (offset_ms or 0) if told else 0
            self.clock_skewed = _ms(self.received_at - now) + self.clock_offset_ms > TOLERANCE_MS
            self.expired_at = self.expired_at or (self.expires_at if self.expires_at < now else None)
            self._measure()
        self.status, self.next_attempt_at, self.acked_at = "delivered", None, self.acked_at or now
        self.opened_at = self.opened_at or (now if opened else None)
        self.clicked_at = self.clicked_at or (now if clicked else None)
        return True

    def device_refuses(self, refused: Refused, now: datetime) -> bool:
        if self.device_id != refused.device_id or not self.open:
            return False
        self.status, self.error_code, self.acked_at, self.next_attempt_at = "failed", refused.code, now, None
        return True

    # --- what they share
    def _let_go(self, due_at: datetime | None) -> None:
        self.claim_token, self.claimed_until, self.next_attempt_at = None, None, due_at

    def _as_first_accepted(self) -> None:
        """The channels after the first took nothing."""
        self.status, self.provider, self.accepted_by, self.fallback_from = (
            "sent",
            self.accepted_by or self.provider,
            "",
            "",
        )

    def _due_again(self, again: Again) -> bool:
        self.claim_alone = self.claim_alone and self.claim_token is None
        self._let_go(again.next_attempt_at)
        self.provider, self.credential, self.channel_id = again.provider, again.credential, again.channel_id
        self.attempt_count, self.error_code = again.attempt_count, again.code
        self.fallback_from = again.fallback_from or self.fallback_from
        return True

    def _measure(self) -> None:
        """The latency, once both ends are known and the clock makes sense."""
        if self.sent_at is None or self.received_at is None:
            return
        latency_ms = _ms(self.received_at - self.sent_at) + (self.clock_offset_ms or 0)
        self.clock_skewed = self.clock_skewed or latency_ms < -TOLERANCE_MS
        self.latency_ms = None if self.clock_skewed else max(0, latency_ms)


def _ms(passed: timedelta) -> int:
    return round(passed / timedelta(milliseconds=1))
