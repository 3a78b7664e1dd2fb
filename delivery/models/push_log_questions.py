"""Questions about messages that are asked of the log. They change nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.db import models

from delivery.models import setwise
from delivery.priority import Priority

if TYPE_CHECKING:
    from delivery.models.push_log import PushNotificationLog  # noqa: F401  (the queryset's type argument)

LOG = "push_notification_logs"


class PushLogQuestions(models.QuerySet["PushNotificationLog"]):
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

    def surely_open(self, ends: Mapping[str, datetime]) -> set[str]:
        """Those of these jobs (when their messages expire, by id) of which a message is open and expires with its job.

        That is quick however large the job is: `open` messages are found by when they expire, and only those are read.
        """
        if not ends:
            return set()
        table, params = setwise.rows({"job_id": "text", "expires_at": "timestamptz"}, list(ends.items()))
        by_expiry_alone = "m.job_id || '' = r.job_id"
        found = setwise.fetch(
            f"""
            SELECT job_id FROM {table} WHERE (
                SELECT 1 FROM {LOG} AS m
                WHERE m.status IN ('pending', 'sent') AND m.expires_at = r.expires_at AND {by_expiry_alone}
                LIMIT 1) IS NOT NULL
            """,
            params,
            ["text"],
        )
        return {job_id for (job_id,) in found}

    def missed(self, job_id: str) -> Self:
        """What a job did not get to its devices."""
        return self.filter(job_id=job_id, status__in=["failed", "expired"])
