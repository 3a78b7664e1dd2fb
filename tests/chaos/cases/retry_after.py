"""A service is down and says when to come back: sensibly, in the other form, wrongly, and absurdly."""

import time

from tests.chaos.case import Case
from tests.chaos.push_faults import wait_until_met
from tests.chaos.rig import say
from tests.chaos.run import Run

PROVIDER = "apns"
"""It has no shortest wait of its own."""
ASKED = {"4": 4.0, "date+6": 5.0, "soon": 0.0, "-1": 0.0, "1000000000": 3600.0}
"""As it stands in the header (date+6: an HTTP-date 6 s ahead, in whole seconds), with the wait that is owed to it."""
WRITTEN_S = 10.0
EARLY_S = 0.5
"""By which the times of attempts may be off: they are counted from their batch's claim."""


def inject(run: Run) -> None:
    """One value after the other, each until a request has met it; then nothing may be left behind."""
    services = run.rig.services
    for number, (asked, floor_s) in enumerate(ASKED.items()):
        last = number == len(ASKED) - 1
        known = newest(run)
        refusing = services.fault(PROVIDER, "answer", status=503, retry_after=asked)
        run.order(None if last else run.messages // len(ASKED))
        wait_until_met(run, refusing)
        met = services.met(refusing)
        services.heal(refusing)
        run.wait_until(lambda known=known: newest(run) > known, "attempt in the record", WRITTEN_S)  # type: ignore[misc]
        say(f"Retry-After {asked}: met by {met} requests")
        check_floor(run, known, asked, floor_s)
    run.began = time.monotonic()


def newest(run: Run) -> int:
    return run.rig.record.number("SELECT max(id) FROM delivery_deliveryattempt")


def check_floor(run: Run, known: int, asked: str, floor_s: float) -> None:
    """No message that was refused is due again before that, on this provider."""
    early = run.rig.record.number(
        """SELECT count(*) FROM push_notification_logs m JOIN delivery_deliveryattempt a ON a.push_id = m.id
           WHERE a.id > %s AND a.code <> 'no_answer' AND m.provider = %s AND m.status = 'pending'
           AND m.next_attempt_at < a.started_at + make_interval(secs => %s)""",
        known,
        PROVIDER,
        floor_s - EARLY_S,
    )
    if early:
        run.problem(f"Retry-After {asked}: {early} messages are due too early")


CASE = Case(
    name="retry-after",
    sentence="APNs answers 503 with Retry-After as seconds, date, garbage, -1 and 10^9: a floor, and nothing is lost.",
    inject=inject,
)
