"""Every transition of a message, each one guarded UPDATE that returns what it changed.

Whoever finds its guard no longer true changes 0 rows: the row count says who won. `now` is always the database's time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.functions import Coalesce

from delivery.models import setwise
from delivery.models.job import PAUSED_UNTIL, parked, unparked
from delivery.models.push_log_arrivals import AS_FIRST_ACCEPTED, SKEW_MS, start_of_what_arrived
from delivery.models.push_log_claims import PushLogClaims
from delivery.models.push_log_questions import LOG
from delivery.models.push_log_rows import Again, Failed, NewRow, Sent

USED_FRESH = timedelta(hours=1)
NOTE_USE = """
    UPDATE delivery_channel SET last_used_at = %s
    WHERE id IN (SELECT channel_id FROM changed) AND (last_used_at IS NULL OR last_used_at <= %s)"""


class PushNotificationLogQuerySet(PushLogClaims):
    # --- birth
    def insert_rows(
        self, new: Sequence[NewRow], *, job_id: str, priority: int, created_at: datetime, expires_at: datetime
    ) -> int:
        """For whoever has chosen the channels. A device that has its row of this job keeps it: no new row."""
        table, params = setwise.rows(
            {
                "message_id": "uuid", "device_id": "text", "site_id": "text", "provider": "text", "credential": "text",
                "channel_id": "bigint", "fallback_from": "text", "skipped": "text",
            },
            [
                (row.message_id, row.device_id, row.site_id, row.provider, row.credential, row.channel_id,
                 row.fallback_from, row.skipped)
                for row in new
            ],
        )  # fmt: skip
        return setwise.execute(
            f"""
            INSERT INTO {LOG} (message_id, device_id, site_id, provider, credential, channel_id, fallback_from, status,
                               error_code, job_id, priority, created_at, expires_at, next_attempt_at)
            SELECT message_id, device_id, site_id, provider, credential, channel_id, fallback_from,
                   CASE WHEN skipped = '' THEN 'pending' ELSE 'skipped' END, skipped,
                   %s, %s, %s, %s, CASE WHEN skipped = '' AND provider <> 'inbox' THEN %s END
            FROM {table} WHERE true
            ON CONFLICT (job_id, device_id) DO NOTHING
            """,
            [job_id, priority, created_at, expires_at, created_at, *params],
        )

    # --- what the holder found out
    def mark_sent(self, sent: Sequence[Sent], *, token: UUID, used_at: datetime | None = None) -> set[int]:
        """Held pending -> sent. On a row that ended meanwhile (an ack that overtook us) it fills in the facts only.

        What a hedged row's first provider accepted stays written down; whoever writes keeps the second as an attempt.
        With `used_at` their channels' last use is written down, too, at most once an hour for each. Returns the ids of
        the rows that were still held.
        """
        table, params = setwise.rows(
            {
                "id": "bigint",
                "sent_at": "timestamptz",
                "provider_message_id": "text",
                "code": "text",
                "hedge_at": "timestamptz",
                "handoff_ms": "bigint",
            },
            [(s.id, s.sent_at, s.provider_message_id[:255], s.code[:100], s.hedge_at, s.handoff_ms) for s in sent],
        )
        first = "m.sent_at IS NULL"
        sent_at = start_of_what_arrived(
            "COALESCE(m.sent_at, r.sent_at)", "m.received_at", "COALESCE(m.clock_offset_ms, 0)"
        )
        latency = f"({setwise.ms_between('m.received_at', sent_at)} + COALESCE(m.clock_offset_ms, 0))"
        change = f"""
            UPDATE {LOG} AS m SET
                status = CASE WHEN m.status = 'pending' THEN 'sent' ELSE m.status END,
                error_code = CASE WHEN m.status = 'pending' THEN '' ELSE m.error_code END,
                error_message = CASE WHEN m.status = 'pending' THEN '' ELSE m.error_message END,
                sent_at = {sent_at}, hedge_at = r.hedge_at,
                handoff_ms = CASE WHEN {first} THEN r.handoff_ms ELSE m.handoff_ms END,
                accepted_code = CASE WHEN {first} THEN r.code ELSE m.accepted_code END,
                provider_message_id = CASE WHEN {first} THEN r.provider_message_id ELSE m.provider_message_id END,
                clock_skewed = (m.clock_skewed OR COALESCE({latency} < -{SKEW_MS}, false)),
                latency_ms = CASE WHEN m.received_at IS NULL OR m.clock_skewed OR {latency} < -{SKEW_MS} THEN NULL
                                  WHEN {latency} < 0 THEN 0 ELSE {latency} END,
                claim_token = NULL, claimed_until = NULL, next_attempt_at = NULL, claim_alone = false
            FROM {table} WHERE m.id = r.id AND m.claim_token = %s
            {setwise.returning("m", "id", "channel_id")}"""
        if used_at is None:
            held = setwise.fetch(change, [*params, token], ["bigint", "bigint"], prepared=True)
        else:
            held = setwise.fetch_and(
                change, [*params, token], NOTE_USE, [used_at, used_at - USED_FRESH],
                {"id": "bigint", "channel_id": "bigint"},
            )  # fmt: skip
        return {row_id for row_id, _ in held}

    def mark_due_again(self, again: Sequence[Again], *, token: UUID) -> int:
        """Held pending -> pending, later or on another channel."""
        return self._due_again(again, "m.claim_token = %s", [token])

    def move_waiting(self, again: Sequence[Again], *, seen_at: datetime) -> int:
        """Unclaimed pending -> pending on another channel or later, because its provider is closed for long.

        Only what was due at `seen_at` and is still: whatever else moved a row since then made it due later.
        """
        return self._due_again(again, "m.claim_token IS NULL AND m.next_attempt_at <= %s", [seen_at])

    def hedge(self, again: Sequence[Again]) -> int:
        """Sent -> pending on the next channel, because no ack came in time; what was accepted stays written down."""
        keep = ", accepted_by = CASE WHEN m.accepted_by = '' THEN m.provider ELSE m.accepted_by END"
        return self._due_again(again, "m.hedge_at IS NOT NULL", [], status="sent", also=keep)

    def unhedge(self, ids: Sequence[int]) -> int:
        """There is no other channel to send on."""
        return self.filter(pk__in=ids, status="sent").update(hedge_at=None)

    def mark_still_sent(self, ids: Sequence[int], *, token: UUID) -> int:
        """Held pending -> sent: no further channel took what an earlier one had accepted."""
        return self.filter(pk__in=ids, claim_token=token, status="pending").update(
            **AS_FIRST_ACCEPTED,
            next_attempt_at=None,
            claim_token=None,
            claimed_until=None,
            claim_alone=False,
        )

    def _due_again(
        self, again: Sequence[Again], guard: str, params: list[Any], status: str = "pending", also: str = ""
    ) -> int:
        table, values = setwise.rows(
            {
                "id": "bigint", "provider": "text", "credential": "text", "channel_id": "bigint",
                "next_attempt_at": "timestamptz", "attempt_count": "bigint", "fallback_from": "text", "code": "text",
                "detail": "text",
            },
            [
                (a.id, a.provider, a.credential, a.channel_id, a.next_attempt_at, a.attempt_count, a.fallback_from,
                 a.code[:100], a.detail[:500])
                for a in again
            ],
        )  # fmt: skip
        return setwise.execute(
            f"""
            UPDATE {LOG} AS m SET
                provider = r.provider, credential = r.credential, channel_id = r.channel_id,
                next_attempt_at = r.next_attempt_at, attempt_count = r.attempt_count,
                fallback_from = CASE WHEN r.fallback_from = '' THEN m.fallback_from ELSE r.fallback_from END,
                error_code = r.code, error_message = r.detail,
                status = 'pending', hedge_at = NULL, claim_token = NULL, claimed_until = NULL,
                claim_alone = (m.claim_alone AND m.claim_token IS NULL){also}
            FROM {table} WHERE m.id = r.id AND m.status = '{status}' AND {guard}
            """,
            [*values, *params],
        )

    def mark_failed(self, failed: Sequence[Failed], *, token: UUID) -> int:
        """Held pending -> failed."""
        table, params = setwise.rows(
            {"id": "bigint", "code": "text", "detail": "text"},
            [(f.id, f.code[:100], f.detail[:500]) for f in failed],
        )
        return setwise.execute(
            f"""
            UPDATE {LOG} AS m SET status = 'failed', error_code = r.code, error_message = r.detail,
                claim_token = NULL, claimed_until = NULL, next_attempt_at = NULL
            FROM {table} WHERE m.id = r.id AND m.claim_token = %s AND m.status = 'pending'
            """,
            [*params, token],
        )

    # --- time and people
    def expire(self, now: datetime, *, limit: int) -> int:
        """Pending or sent -> expired where nobody acked in time. A row with a live claim is left to its holder."""
        over = setwise.taken(
            LOG,
            """status IN ('pending', 'sent') AND expires_at <= %s AND (claimed_until IS NULL OR claimed_until <= %s)
               ORDER BY expires_at LIMIT %s""",
        )
        return setwise.execute(
            f"""
            UPDATE {LOG} SET status = 'expired', expired_at = expires_at, next_attempt_at = NULL,
                             claim_token = NULL, claimed_until = NULL
            WHERE {over}
            """,
            [now, now, limit],
        )

    def park(self, job_id: str, *, now: datetime) -> int:
        """Pending and unclaimed: neither due nor running out from now on. A held row is left to its holder."""
        unclaimed = self.filter(job_id=job_id, status="pending", claim_token=None)
        return unclaimed.filter(expires_at__gt=now, expires_at__lt=PAUSED_UNTIL).update(
            next_attempt_at=Coalesce(parked(models.F("next_attempt_at"), now), PAUSED_UNTIL),
            expires_at=parked(models.F("expires_at"), now),
        )

    def unpark(self, job_id: str, *, now: datetime) -> int:
        """What was left of each wait and life when the job was paused is left of it now."""
        return self.filter(job_id=job_id, expires_at__gte=PAUSED_UNTIL).update(
            next_attempt_at=models.Case(
                models.When(provider="inbox", then=None), default=unparked(models.F("next_attempt_at"), now)
            ),
            expires_at=unparked(models.F("expires_at"), now),
        )

    def cancel(self, job_id: str, *, now: datetime, code: str) -> int:
        """Pending or sent -> cancelled. A row with a live claim is left to its holder."""
        return (
            self.open()
            .filter(job_id=job_id)
            .filter(models.Q(claimed_until=None) | models.Q(claimed_until__lte=now))
            .update(status="cancelled", error_code=code, next_attempt_at=None, claim_token=None, claimed_until=None)
        )
