import time

from tests.chaos.case import Case
from tests.chaos.push_faults import check_deadline, unanswered, wait_until_met, wait_until_others_arrive
from tests.chaos.rig import say
from tests.chaos.run import Run

PROVIDER = "apns"
LASTS_S = 20.0


def inject(run: Run) -> None:
    """What hangs was not taken, so nothing may come twice."""
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    services = run.rig.services
    hung = services.fault(PROVIDER, "hang")
    began = time.monotonic()
    run.order()
    wait_until_met(run, hung)
    wait_until_others_arrive(run, PROVIDER)
    time.sleep(max(0.0, began + LASTS_S - time.monotonic()))
    held_up = services.met(hung)
    services.heal(hung)
    run.wait_until(lambda: unanswered(run, PROVIDER) > 0, "send that was given up")
    check_deadline(run, PROVIDER)
    say(f"{held_up} streams hung; {unanswered(run, PROVIDER)} sends were given up")


CASE = Case(
    name="hung",
    sentence="APNs takes requests and never answers: each send ends with its deadline, others arrive meanwhile.",
    inject=inject,
    about_answers=True,
)
