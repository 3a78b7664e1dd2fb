"""What a device says about its messages, as guarded UPDATEs: push_log_verbs.py says how they work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models

from delivery.models import setwise
from delivery.models.job import PAUSED_UNTIL
from delivery.models.push_log_births import PushLogBirths
from delivery.models.push_log_questions import LOG
from delivery.models.push_log_rows import Arrived, Refused

SKEW_MS = 2_000
"""How far a corrected device time may lie outside [sent_at, now] before it is called skewed."""

AS_FIRST_ACCEPTED: dict[str, Any] = {
    "status": "sent",
    "provider": models.Case(models.When(accepted_by="", then=models.F("provider")), default=models.F("accepted_by")),
    "accepted_by": "",
    "fallback_from": "",
}
"""A hedged row whose further channels took nothing."""


def start_of_what_arrived(sent_at: str, received_at: str, offset_ms: str) -> str:
    """SQL for when the attempt began that brought message `m` to its device.

    As a rule the accepted one; where the device had it before, one that nobody answered.
    """
    before = f"{setwise.ms_between(received_at, 't.started_at')} + {offset_ms} >= 0"
    return f"""(CASE WHEN {setwise.ms_between(received_at, sent_at)} + {offset_ms} < -{SKEW_MS} THEN COALESCE(
            (SELECT MAX(t.started_at) FROM delivery_deliveryattempt AS t
             WHERE t.push_id = m.id AND t.outcome = 'retry' AND t.code = 'no_answer' AND {before}), {sent_at})
        ELSE {sent_at} END)"""


def _judged(sent_at: str, received_at: str, offset_ms: str) -> tuple[str, str]:
    """SQL for whether a device's time makes no sense, and for the latency by it; both take the time that it is now."""
    latency = f"({setwise.ms_between(received_at, sent_at)} + {offset_ms})"
    # SQLite cannot count up to the last millisecond of the year 9999
    ahead = f"COALESCE({setwise.ms_between(received_at, setwise.moment())} + {offset_ms} > {SKEW_MS}, true)"
    skewed = f"({ahead} OR COALESCE({latency} < -{SKEW_MS}, false))"
    return skewed, f"CASE WHEN {skewed} THEN NULL WHEN {latency} < 0 THEN 0 ELSE {latency} END"


class PushLogArrivals(PushLogBirths):
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
        skewed, latency = _judged("m.sent_at", "r.received_at", offset)
        changed = setwise.fetch(
            f"""
            UPDATE {LOG} AS m SET
                status = 'delivered',
                received_at = COALESCE(m.received_at, r.received_at),
                acked_at = COALESCE(m.acked_at, {setwise.moment()}),
                opened_at = COALESCE(m.opened_at, r.opened_at),
                clicked_at = COALESCE(m.clicked_at, r.clicked_at),
                expired_at = CASE WHEN {first} AND m.expired_at IS NULL AND m.expires_at < {setwise.moment()}
                                  THEN m.expires_at ELSE m.expired_at END,
                clock_offset_ms = CASE WHEN {first} THEN {offset} ELSE m.clock_offset_ms END,
                clock_skewed = CASE WHEN {first} THEN {skewed} ELSE m.clock_skewed END,
                latency_ms = CASE WHEN {first} THEN {latency} ELSE m.latency_ms END,
                next_attempt_at = NULL, verdict = CASE WHEN {first} THEN '' ELSE m.verdict END,
                evidence = CASE WHEN {first} THEN '' ELSE m.evidence END, judge_at = NULL
            FROM {table}, delivery_device AS d
            WHERE m.message_id = r.message_id AND m.device_id = r.device_id AND d.device_id = r.device_id
              AND m.status <> 'skipped'
              AND (m.status <> 'delivered' OR (r.opened_at IS NOT NULL AND m.opened_at IS NULL)
                   OR (r.clicked_at IS NOT NULL AND m.clicked_at IS NULL))
            {setwise.returning("m", "message_id", "job_id", "expired_at", "error_code", "clock_skewed")}
            """,
            [now, now, now, now, *params],
            ["uuid", "text", "timestamptz", "text", "boolean"],
            prepared=True,
        )
        if skewed_ids := [message_id for message_id, *_, clock_skewed in changed if clock_skewed]:
            self._look_for_earlier_starts(skewed_ids, now=now)
        return [
            (message_id, job_id, expired_at is not None or error_code != "")
            for message_id, job_id, expired_at, error_code, _ in changed
        ]

    def _look_for_earlier_starts(self, message_ids: Sequence[UUID], *, now: datetime) -> int:
        """What was acked just now, long before it was sent: the attempt before may have brought it."""
        table, params = setwise.rows({"message_id": "uuid"}, [(message_id,) for message_id in message_ids])
        began = start_of_what_arrived("m.sent_at", "m.received_at", "m.clock_offset_ms")
        skewed, latency = _judged("b.sent_at", "b.received_at", "b.clock_offset_ms")
        return setwise.execute(
            f"""
            UPDATE {LOG} AS m SET sent_at = b.sent_at, clock_skewed = {skewed}, latency_ms = {latency}
            FROM (SELECT m.id, m.received_at, m.clock_offset_ms, {began} AS sent_at
                  FROM {table} JOIN {LOG} AS m ON m.message_id = r.message_id
                  WHERE m.acked_at = {setwise.moment()}) AS b
            WHERE m.id = b.id
            """,
            [now, now, *params, now],
        )

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
        hedged = waiting.filter(sent_at__isnull=False).update(**AS_FIRST_ACCEPTED, next_attempt_at=None)
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
