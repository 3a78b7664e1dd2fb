"""One case on a rig: it orders messages, hurts the rig, and says what that may cost."""

import http.client
import json
import secrets
import time
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulator.fleet.ledger import FETCHED
from tests.chaos.rig import Rig, say, since
from tests.journey.api import Answer

TTL_S = 3_600
LIMIT_S = 240.0
"""For a case from its first order to its last message; the rig's start comes on top."""
PAUSE_S = 0.05
BETWEEN_TRIES_S = 0.5
PATIENCE_S = 15.0
"""On a busy machine an order may be 503 for a few seconds, as acks go first; it is asked again as a client would."""
AT_ONCE = 0.0
CONTENT_TITLE = "New prices"
CONTENT = {"body": "Valid from today", "data": {"action": "load_prices"}}


@dataclass
class Allowed:
    """What the case's own fault explains; all else is a failure."""

    extra_sends: int = 0
    expired: int = 0
    failed: int = 0


class Run:
    """`messages` is how many the case is to order in all. The clock runs from the first order."""

    def __init__(self, rig: Rig, messages: int) -> None:
        self.rig = rig
        self.messages = messages
        self.ordered = 0
        self.job_ids: list[str] = []
        self.allowed = Allowed()
        self.problems: list[str] = []
        """What the case itself saw go wrong, in words."""
        self.began = time.monotonic()
        self.answers_before = rig.fleet.answers()

    @property
    def ends_at(self) -> float:
        return self.began + LIMIT_S

    # --- ordering

    def order(self, messages: int | None = None, *, ttl_s: int = TTL_S, patience_s: float = PATIENCE_S) -> None:
        """So many messages (None: all that are left), as jobs of at most one message for each device.

        The first answer has to be 202, or one within `patience_s`: asked again with the same Idempotency-Key.
        """
        left = self.messages - self.ordered if messages is None else messages
        while left > 0:
            count = min(left, self.rig.device_count)
            job_id = self._order(self.rig.device_ids[:count], ttl_s, patience_s)
            if job_id is None:
                return
            self.job_ids.append(job_id)
            self.ordered += count
            left -= count

    def order_for(self, device_ids: Sequence[str], *, ttl_s: int = TTL_S, title: str = CONTENT_TITLE) -> str | None:
        """One message for each of these devices, as one job; its id."""
        job_id = self._order(device_ids, ttl_s, patience_s=0.0, title=title)
        if job_id is not None:
            self.job_ids.append(job_id)
            self.ordered += len(device_ids)
        return job_id

    def _order(
        self, device_ids: Sequence[str], ttl_s: int, patience_s: float, title: str = CONTENT_TITLE
    ) -> str | None:
        push = {**CONTENT, "title": title, "ttl_seconds": ttl_s}
        body = {"name": "Chaos", "target": {"devices": list(device_ids)}, "push_notification": push}
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        gives_up_at = time.monotonic() + patience_s
        while (answer := self._ask(body, headers)).status != 202:
            if time.monotonic() >= gives_up_at:
                self.problem(f"a job was answered {answer.status or 'not at all'}: {json.dumps(answer.body)[:200]}")
                return None
            time.sleep(BETWEEN_TRIES_S)
        return str(answer.body["job_id"])

    def _ask(self, body: object, headers: dict[str, str]) -> Answer:
        """Status 0: no answer."""
        try:
            answer = self.rig.api.call("POST", "/jobs", body, headers=headers)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            return Answer(0, str(error))
        if answer.status >= 500 and answer.status != 503:
            self.problem(f"a job was answered {answer.status}")
        return answer

    # --- watching

    def sent(self) -> int:
        """Messages that a provider has accepted or a device has acked."""
        return self.count("sent_at IS NOT NULL OR status = 'delivered'")

    def delivered(self) -> int:
        return self.count("status = 'delivered'")

    def fetched(self) -> list[str]:
        """Messages that devices had from their inboxes."""
        return [note["message_id"] for note in self.rig.fleet.told() if note["what"] == FETCHED]

    def held(self, provider: str) -> int:
        """Messages of the provider that a worker holds, dead or alive, and that have not ended."""
        return self.count("claim_token IS NOT NULL AND status = 'pending' AND provider = %s", provider)

    def count(self, condition: str, *params: object) -> int:
        """This run's rows for which that is true."""
        return self.rig.record.number(
            f"SELECT count(*) FROM push_notification_logs WHERE job_id = ANY(%s) AND ({condition})",
            self.job_ids,
            *params,
        )

    def wait_until_sent(self, share: float) -> None:
        """Until this share of all messages of the case is sent."""
        enough = int(share * self.messages)
        self.wait_until(lambda: self.sent() >= enough, f"{enough} messages sent")

    def wait_until(
        self, happened: Callable[[], bool], what: str, timeout_s: float | None = None, *, pause_s: float = PAUSE_S
    ) -> bool:
        """False, and a problem, when that does not happen in time."""
        began = time.monotonic()
        gives_up_at = self.ends_at if timeout_s is None else began + timeout_s
        while not happened():
            if time.monotonic() > gives_up_at:
                self.problem(f"no {what} within {since(began)}")
                return False
            time.sleep(pause_s)
        return True

    def wait_until_consuming(self, within_s: float) -> None:
        """From now on: until each provider has sent something, or has nothing left to send."""
        [row] = self.rig.record.rows("SELECT now() AS now")
        began = time.monotonic()
        sends = self.wait_until(lambda: not self._silent(row["now"]), "send of each provider", within_s)
        say(f"consuming again after {since(began)}" if sends else f"silent: {', '.join(self._silent(row['now']))}")

    def _silent(self, since_at: object) -> list[str]:
        """Providers for which messages wait and that have sent nothing since; fan-out, while it has rows to write."""
        if self.count("true") < self.ordered:
            return ["fanout"]
        found = self.rig.record.rows(
            """SELECT provider FROM push_notification_logs WHERE job_id = ANY(%s) GROUP BY provider
               HAVING count(*) FILTER (WHERE sent_at > %s) = 0 AND count(*) FILTER (WHERE status = 'pending') > 0""",
            self.job_ids,
            since_at,
        )
        return [row["provider"] for row in found]

    # --- what it may cost

    def may_repeat(self, messages: int) -> None:
        """So many more sends than messages are explained by what was just done."""
        self.allowed.extra_sends += messages

    def problem(self, text: str) -> None:
        self.problems.append(text)
        say(text)
