"""Every transition of a message, each one guarded UPDATE that returns what it changed.

Whoever finds its guard no longer true changes 0 rows: the row count says who won. `now` is always the database's time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import models
from django.db.models.functions import Coalesce

from delivery.models import setwise
from delivery.models.job import PAUSED_UNTIL, parked, unparked
from delivery.models.push_log_rows import Again, Arrived, Claimed, Failed, NewRow, Refused, Sent
from delivery.priority import Priority

if TYPE_CHECKING:
    from delivery.models.push_log import PushNotificationLog  # noqa: F401  (the queryset's type argument)

LOG = "push_notification_logs"
SKEW_MS = 2_000
"""How far a corrected device time may lie outside [sent_at, now] before it is called skewed."""
POISON_AFTER = 3
"""Holders that may die with a row that they hold alone, before the row is called poison."""


_AS_FIRST_ACCEPTED: dict[str, Any] = {
    "status": "sent",
    "provider": models.Case(models.When(accepted_by="", then=models.F("provider")), default=models.F("accepted_by")),
    "accepted_by": "",
    "fallback_from": "",
}
"""A hedged row whose further channels took nothing."""


def _start_of_what_arrived(sent_at: str, received_at: str, offset_ms: str) -> str:
    """SQL for when the attempt began that brought message `m` to its device.

    As a rule the accepted one; where the device had it before, one that nobody answered.
    """
    before = f"{setwise.ms_between(received_at, 't.started_at')} + {offset_ms} >= 0"
    return f"""(CASE WHEN {setwise.ms_between(received_at, sent_at)} + {offset_ms} < -{SKEW_MS} THEN COALESCE(
            (SELECT MAX(t.started_at) FROM delivery_deliveryattempt AS t
             WHERE t.push_id = m.id AND t.outcome = 'retry' AND t.code = 'no_answer' AND {before}), {sent_at})
        ELSE {sent_at} END)"""


class PushNotificationLogQuerySet(models.QuerySet["PushNotificationLog"]):
    # --- questions
    def due(self, now: datetime) -> Self:
        """Rows that a worker could claim now."""
        return self.filter(status="pending", next_attempt_at__lte=now, expires_at__gt=now, claim_token=None)

    def waited_for(self) -> set[tuple[str, str]]:
        """Each (provider, credential) that pending rows name; one look into the index for each."""
        found: list[tuple[str, str]] = [("", "")]
        while True:
            behind = setwise.fetch(
                f"""
                SELECT provider, credential FROM {LOG}
                WHERE status = 'pending' AND (provider, credential) > (%s, %s)
                ORDER BY provider, credential LIMIT 1
                """,
                found[-1],
                ["text", "text"],
            )
            if not behind:
                return set(found[1:])
            [(provider, credential)] = behind
            found.append((provider, credential))

    def held(self, ids: Sequence[int], token: UUID) -> set[int]:
        """Those of these rows that this claim still holds, whatever has become of them."""
        return set(self.filter(pk__in=ids, claim_token=token).values_list("pk", flat=True))

    def oldest_due(
        self, now: datetime, credentials: Iterable[tuple[str, str]], up_to: Priority = Priority.LOW
    ) -> dict[tuple[str, str], datetime]:
        """Since when the first due row of each (provider, credential) waits to be claimed; only where one does.

        `up_to` leaves out what is less urgent. A row that is to be claimed alone is left out: those go one at a time.
        """
        pairs, params = setwise.rows({"provider": "text", "credential": "text"}, sorted(credentials))
        levels = " UNION ALL ".join(f"SELECT {int(each)} AS priority" for each in Priority if each <= up_to)
        found = setwise.fetch(
            f"""
            SELECT provider, credential, min(due_at) FROM (
                SELECT r.provider, r.credential, (
                    SELECT m.next_attempt_at FROM {LOG} AS m
                    WHERE m.status = 'pending' AND m.provider = r.provider AND m.credential = r.credential
                      AND m.priority = level.priority AND m.next_attempt_at <= %s AND m.expires_at > %s
                      AND m.claim_token IS NULL AND NOT m.claim_alone
                    ORDER BY m.next_attempt_at LIMIT 1) AS due_at
                FROM {pairs} CROSS JOIN ({levels}) AS level) AS heads
            WHERE due_at IS NOT NULL GROUP BY provider, credential
            """,
            [now, now, *params],
            ["text", "text", "timestamptz"],
        )
        return {(provider, credential): due_at for provider, credential, due_at in found}

    def open(self) -> Self:
        return self.filter(status__in=["pending", "sent"])

    def missed(self, job_id: str) -> Self:
        """What a job did not get to its devices."""
        return self.filter(job_id=job_id, status__in=["failed", "expired"])

    # --- birth
    def insert_rows(
        self, new: Sequence[NewRow], *, job_id: str, priority: int, created_at: datetime, expires_at: datetime
    ) -> int:
        """One row per targeted device. A device that has its row of this job already keeps it: that is no new row."""
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

    # --- pending -> held by one worker
    def claim(
        self, provider: str, credential: str, priority: int, *, limit: int, token: UUID, now: datetime, until: datetime
    ) -> list[Claimed]:
        """Take up to `limit` due rows of one credential and priority; counts an attempt on each."""
        return self._claim(
            "NOT claim_alone AND claim_token IS NULL", provider, credential, priority, limit, token, now, until
        )

    def claim_lost(
        self, provider: str, credential: str, priority: int, *, token: UUID, now: datetime, until: datetime
    ) -> list[Claimed]:
        """Take one row whose last holder died."""
        return self._claim("claim_alone AND claim_token IS NULL", provider, credential, priority, 1, token, now, until)

    def _claim(
        self, which: str, provider: str, credential: str, priority: int, limit: int, token: UUID, now: datetime,
        until: datetime,
    ) -> list[Claimed]:  # fmt: skip
        found = setwise.fetch(
            f"""
            WITH due AS MATERIALIZED (
                SELECT id FROM {LOG}
                WHERE status = 'pending' AND provider = %s AND credential = %s AND priority = %s
                  AND next_attempt_at <= %s AND expires_at > %s AND {which}
                ORDER BY next_attempt_at LIMIT %s {setwise.for_update_skip_locked()})
            UPDATE {LOG} SET claim_token = %s, claimed_until = %s, next_attempt_at = %s,
                             attempt_count = attempt_count + 1
            WHERE id IN (SELECT id FROM due)
            RETURNING id, message_id, device_id, job_id, channel_id, provider, credential, priority, attempt_count,
                      created_at, expires_at, sent_at
            """,
            [provider, credential, priority, now, now, limit, token, until, until],
            [
                *("bigint", "uuid", "text", "text", "bigint", "text", "text", "bigint", "bigint"),
                *("timestamptz", "timestamptz", "timestamptz"),
            ],
        )
        return [Claimed(*row) for row in sorted(found)]

    def take(self, *, token: UUID, until: datetime) -> list[Claimed]:
        """Those of these rows that are pending and unclaimed, due or not. No attempt is counted: none will be made."""
        self.filter(status="pending", claim_token=None).update(claim_token=token, claimed_until=until)
        return [
            Claimed(
                row.pk, row.message_id, row.device_id, row.job_id or "", row.channel_id or 0, row.provider,
                row.credential, row.priority, row.attempt_count, row.created_at, row.expires_at, row.sent_at,
            )
            for row in self.filter(claim_token=token)
        ]  # fmt: skip

    def give_back(self, ids: Sequence[int], *, token: UUID, due_at: datetime) -> int:
        """Rows that were held but never sent: due at `due_at`, and an attempt that the claim counted is not counted."""
        table, params = setwise.rows({"id": "bigint"}, [(row_id,) for row_id in ids])
        return setwise.execute(
            f"""
            UPDATE {LOG} AS m SET claim_token = NULL, claimed_until = NULL, next_attempt_at = %s,
                                  attempt_count = CASE WHEN m.attempt_count > 0 THEN m.attempt_count - 1 ELSE 0 END
            FROM {table} WHERE m.id = r.id AND m.claim_token = %s AND m.status = 'pending'
            """,
            [due_at, *params, token],
        )

    # --- what the holder found out
    def mark_sent(self, sent: Sequence[Sent], *, token: UUID) -> int:
        """Held pending -> sent. On a row that ended meanwhile (an ack that overtook us) it fills in the facts only.

        What a hedged row's first provider accepted stays written down; whoever writes keeps the second as an attempt.
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
        sent_at = _start_of_what_arrived(
            "COALESCE(m.sent_at, r.sent_at)", "m.received_at", "COALESCE(m.clock_offset_ms, 0)"
        )
        latency = f"({setwise.ms_between('m.received_at', sent_at)} + COALESCE(m.clock_offset_ms, 0))"
        return setwise.execute(
            f"""
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
            """,
            [*params, token],
        )

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
            **_AS_FIRST_ACCEPTED,
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

    # --- what the device said
    def mark_delivered(self, arrived: Sequence[Arrived], *, now: datetime) -> list[tuple[UUID, str | None, bool]]:
        """Anything but skipped -> delivered; late where the time was over. The first `received_at` wins.

        Returns (message_id, job_id, recount) of the rows that it changed; a replay changes none. `recount`: the row may
        have ended before, so that its job's final count is wrong now. (Only rows that went wrong keep an error code.)
        """
        table, params = setwise.rows(
            {
                "message_id": "uuid", "device_id": "text", "received_at": "timestamptz", "by_device_clock": "boolean",
                "opened_at": "timestamptz", "clicked_at": "timestamptz",
            },
            [
                (a.message_id, a.device_id, a.received_at, a.by_device_clock, a.opened_at, a.clicked_at)
                for a in arrived
            ],
        )  # fmt: skip
        first = "m.received_at IS NULL"
        offset = "(CASE WHEN r.by_device_clock THEN COALESCE(d.clock_offset_ms, 0) ELSE 0 END)"
        sent_at = _start_of_what_arrived("m.sent_at", "r.received_at", offset)
        latency = f"({setwise.ms_between('r.received_at', sent_at)} + {offset})"
        # SQLite cannot count up to the last millisecond of the year 9999
        ahead = f"({setwise.ms_between('r.received_at', setwise.moment())} + {offset} > {SKEW_MS})"
        skewed = f"(COALESCE({ahead}, true) OR COALESCE({latency} < -{SKEW_MS}, false))"
        return [
            (message_id, job_id, expired_at is not None or error_code != "")
            for message_id, job_id, expired_at, error_code in setwise.fetch(
                f"""
                UPDATE {LOG} AS m SET
                    status = 'delivered',
                    sent_at = CASE WHEN {first} THEN {sent_at} ELSE m.sent_at END,
                    received_at = COALESCE(m.received_at, r.received_at),
                    acked_at = COALESCE(m.acked_at, %s),
                    opened_at = COALESCE(m.opened_at, r.opened_at),
                    clicked_at = COALESCE(m.clicked_at, r.clicked_at),
                    expired_at = CASE WHEN {first} AND m.expired_at IS NULL AND m.expires_at < %s THEN m.expires_at
                                      ELSE m.expired_at END,
                    clock_offset_ms = CASE WHEN {first} THEN {offset} ELSE m.clock_offset_ms END,
                    clock_skewed = CASE WHEN {first} THEN {skewed} ELSE m.clock_skewed END,
                    latency_ms = CASE WHEN NOT ({first}) THEN m.latency_ms
                                      WHEN m.sent_at IS NULL OR {skewed} THEN NULL
                                      WHEN {latency} < 0 THEN 0 ELSE {latency} END,
                    next_attempt_at = NULL, verdict = CASE WHEN {first} THEN '' ELSE m.verdict END,
                    evidence = CASE WHEN {first} THEN '' ELSE m.evidence END, judge_at = NULL
                FROM {table}, delivery_device AS d
                WHERE m.message_id = r.message_id AND m.device_id = r.device_id AND d.device_id = r.device_id
                  AND m.status <> 'skipped'
                  AND (m.status <> 'delivered' OR (r.opened_at IS NOT NULL AND m.opened_at IS NULL)
                       OR (r.clicked_at IS NOT NULL AND m.clicked_at IS NULL))
                {setwise.returning("m", "message_id", "job_id", "expired_at", "error_code")}
                """,
                [now, now, now, now, *params],
                ["uuid", "text", "timestamptz", "text"],
            )
        ]

    def mark_failed_by_device(self, refused: Sequence[Refused], *, now: datetime) -> list[tuple[UUID, str | None]]:
        """Pending or sent -> failed, in the device's own words. Returns (message_id, job_id) of the changed rows."""
        table, params = setwise.rows(
            {"message_id": "uuid", "device_id": "text", "code": "text", "detail": "text"},
            [(f.message_id, f.device_id, f.code[:100], f.detail[:500]) for f in refused],
        )
        changed = setwise.fetch(
            f"""
            UPDATE {LOG} AS m SET status = 'failed', error_code = r.code, error_message = r.detail,
                acked_at = %s, next_attempt_at = NULL
            FROM {table} WHERE m.message_id = r.message_id AND m.device_id = r.device_id
                           AND m.status IN ('pending', 'sent')
            {setwise.returning("m", "message_id", "job_id")}
            """,
            [now, *params],
            ["uuid", "text"],
        )
        return [(message_id, job_id) for message_id, job_id in changed]

    def hand_out(self, device_id: str, ids: Sequence[int], now: datetime) -> int:
        """Pending and unclaimed -> sent, because the device fetched it from its inbox. Not while its job is paused.

        What a provider accepted before (it waits for a hedge) stays that provider's.
        """
        fetched = self.filter(device_id=device_id, id__in=ids, status="pending", claim_token=None)
        waiting = fetched.filter(expires_at__lt=PAUSED_UNTIL)
        hedged = waiting.filter(sent_at__isnull=False).update(**_AS_FIRST_ACCEPTED, next_attempt_at=None)
        return hedged + waiting.filter(sent_at=None).update(
            status="sent",
            sent_at=now,
            next_attempt_at=None,
            fallback_from=models.Case(
                models.When(provider="inbox", then=models.F("fallback_from")), default=models.F("provider")
            ),
            provider="inbox",
            credential="",
        )

    # --- time and people
    def expire(self, now: datetime, *, limit: int) -> int:
        """Pending or sent -> expired where nobody acked in time. A row with a live claim is left to its holder."""
        return setwise.execute(
            f"""
            WITH over AS MATERIALIZED (
                SELECT id FROM {LOG}
                WHERE status IN ('pending', 'sent') AND expires_at <= %s
                  AND (claimed_until IS NULL OR claimed_until <= %s)
                ORDER BY expires_at LIMIT %s {setwise.for_update_skip_locked()})
            UPDATE {LOG} SET status = 'expired', expired_at = expires_at, next_attempt_at = NULL,
                             claim_token = NULL, claimed_until = NULL
            WHERE id IN (SELECT id FROM over)
            """,
            [now, now, limit],
        )

    def release_lost(self, now: datetime, *, limit: int) -> int:
        """A dead worker's rows: due again, each to be claimed alone. After three deaths while alone: failed(poison)."""
        poison = f"(claim_alone AND lost_claims + 1 >= {POISON_AFTER})"
        return setwise.execute(
            f"""
            WITH lost AS MATERIALIZED (
                SELECT id FROM {LOG} WHERE status = 'pending' AND claimed_until <= %s
                ORDER BY claimed_until LIMIT %s {setwise.for_update_skip_locked()})
            UPDATE {LOG} SET
                status = CASE WHEN {poison} THEN 'failed' ELSE status END,
                error_code = CASE WHEN {poison} THEN 'poison' ELSE error_code END,
                next_attempt_at = CASE WHEN {poison} THEN NULL ELSE %s END,
                lost_claims = lost_claims + CASE WHEN claim_alone THEN 1 ELSE 0 END,
                claim_alone = true, claim_token = NULL, claimed_until = NULL
            WHERE id IN (SELECT id FROM lost)
            """,
            [now, limit, now],
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
