"""Who holds a message: taken, given back, or freed when its holder died. push_log_verbs.py says how these work.

What a claim writes into the log stands in no index, so that PostgreSQL need not touch any for it. Beside the log a row
for each batch says which messages it holds; that is how those of the dead are found.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from delivery.models import setwise
from delivery.models.claim import Claim
from delivery.models.push_log_arrivals import PushLogArrivals
from delivery.models.push_log_questions import LOG
from delivery.models.push_log_rows import Claimed
from delivery.models.setwise import Kind

POISON_AFTER = 3
"""Holders that may die with a row that they hold alone, before the row is called poison."""

CLAIMED: Mapping[str, Kind] = {
    "id": "bigint", "message_id": "uuid", "device_id": "text", "job_id": "text", "channel_id": "bigint",
    "provider": "text", "credential": "text", "priority": "bigint", "attempt_count": "bigint",
    "created_at": "timestamptz", "expires_at": "timestamptz", "sent_at": "timestamptz",
}  # fmt: skip
"""What its holder learns of a row, in the order of `Claimed`."""

NOTE_CLAIM = """
    INSERT INTO delivery_claim (token, claimed_until, held)
    SELECT %s, %s, {held} FROM changed HAVING COUNT(*) > 0"""


class PushLogClaims(PushLogArrivals):
    def claim(
        self, provider: str, credential: str, priorities: Sequence[int], *, limit: int, token: UUID, now: datetime,
        until: datetime,
    ) -> list[Claimed]:  # fmt: skip
        """Take up to `limit` due rows of one credential, the most urgent first; counts an attempt on each."""
        return self._claim("NOT claim_alone", provider, credential, priorities, limit, token, now, until)

    def claim_lost(
        self, provider: str, credential: str, priorities: Sequence[int], *, token: UUID, now: datetime, until: datetime
    ) -> list[Claimed]:
        """Take one row whose last holder died."""
        return self._claim("claim_alone", provider, credential, priorities, 1, token, now, until)

    def _claim(
        self, which: str, provider: str, credential: str, priorities: Sequence[int], limit: int, token: UUID,
        now: datetime, until: datetime,
    ) -> list[Claimed]:  # fmt: skip
        due = f"""status = 'pending' AND provider = %s AND credential = %s AND next_attempt_at <= %s
                  AND expires_at > %s AND claim_token IS NULL AND {which}"""
        found = setwise.fetch_and(
            f"""
            WITH due AS MATERIALIZED ({setwise.most_urgent(LOG, due, priorities, "next_attempt_at")})
            UPDATE {LOG} SET claim_token = %s, claimed_until = %s, attempt_count = attempt_count + 1
            WHERE id IN (SELECT id FROM due)
            RETURNING {", ".join(CLAIMED)}""",
            [provider, credential, now, now, limit, limit, token, until],
            NOTE_CLAIM.format(held=setwise.json_list("id")), [token, until],
            CLAIMED,
        )  # fmt: skip
        claimed = [Claimed(*row) for row in found]
        return sorted(claimed, key=lambda row: (row.priority, row.id))

    def take(self, *, token: UUID, until: datetime) -> list[Claimed]:
        """Those of these rows that are pending and unclaimed, due or not. No attempt is counted: none will be made."""
        with transaction.atomic():
            free = self.filter(status="pending", claim_token=None).select_for_update().values_list("pk", flat=True)
            held = list(free)
            self.filter(pk__in=held).update(claim_token=token, claimed_until=until)
            if held:
                Claim.objects.create(token=token, claimed_until=until, held=held)
        return [
            Claimed(
                row.pk, row.message_id, row.device_id, row.job_id or "", row.channel_id or 0, row.provider,
                row.credential, row.priority, row.attempt_count, row.created_at, row.expires_at, row.sent_at,
            )
            for row in self.filter(pk__in=held)
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

    def end_claim(self, token: UUID) -> int:
        """Its holder has written down what became of every row that it held."""
        return setwise.execute("DELETE FROM delivery_claim WHERE token = %s", [token], prepared=True)

    def release_lost(self, now: datetime, *, limit: int) -> int:
        """A dead worker's rows: due again, each to be claimed alone. After three deaths while alone: failed(poison)."""
        poison = f"(claim_alone AND lost_claims + 1 >= {POISON_AFTER})"
        freed = setwise.execute(
            f"""
            WITH lost AS MATERIALIZED (
                SELECT m.id FROM ({_held_by_the_dead()}) AS h JOIN {LOG} AS m ON m.id = h.id
                WHERE m.status = 'pending' AND m.claimed_until <= %s
                ORDER BY m.claimed_until LIMIT %s {setwise.for_update_skip_locked("m")})
            UPDATE {LOG} SET
                status = CASE WHEN {poison} THEN 'failed' ELSE status END,
                error_code = CASE WHEN {poison} THEN 'poison' ELSE error_code END,
                next_attempt_at = CASE WHEN {poison} THEN NULL ELSE %s END,
                lost_claims = lost_claims + CASE WHEN claim_alone THEN 1 ELSE 0 END,
                claim_alone = true, claim_token = NULL, claimed_until = NULL
            WHERE id IN (SELECT id FROM lost)
            """,
            [now, now, limit, now],
        )
        if freed < limit:
            self._forget_claims(now)
        return freed

    def _forget_claims(self, now: datetime) -> int:
        """Of the dead, once nothing is held by them; a row that somebody just writes to is, and is looked at again."""
        return setwise.execute(
            f"""
            DELETE FROM delivery_claim WHERE claimed_until <= %s AND id NOT IN (
                SELECT h.claim FROM ({_held_by_the_dead()}) AS h JOIN {LOG} AS m ON m.id = h.id
                WHERE m.status = 'pending' AND m.claim_token = h.token)
            """,
            [now, now],
        )


def _held_by_the_dead() -> str:
    """A query for what claims that are over name, row by row. Parameter: the time."""
    rows, row_id = setwise.json_each("c.held", "h")
    return f"""SELECT c.id AS claim, c.token, {row_id} AS id FROM delivery_claim AS c CROSS JOIN {rows}
               WHERE c.claimed_until <= %s"""
