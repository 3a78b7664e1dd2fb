import time

from tests.chaos.case import Case
from tests.chaos.push_faults import check_deadline, unanswered, wait_until_met, wait_until_others_arrive
from tests.chaos.rig import say
from tests.chaos.run import Run

PROVIDER = "fcm"
BYTE_EVERY_S = 10.0
LASTS_S = 20.0


def inject(run: Run) -> None:
    """The message is taken at once; each send whose answer never ends may be one too many."""
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    services = run.rig.services
    dripping = services.fault(PROVIDER, "drip", delay_s=BYTE_EVERY_S)
    began = time.monotonic()
    run.order()
    wait_until_met(run, dripping)
    wait_until_others_arrive(run, PROVIDER)
    time.sleep(max(0.0, began + LASTS_S - time.monotonic()))
    endless = services.met(dripping)
    services.heal(dripping)
    run.wait_until(lambda: unanswered(run, PROVIDER) > 0, "send that was given up")
    run.may_repeat(endless)
    check_deadline(run, PROVIDER)
    say(f"{endless} answers dripped; {unanswered(run, PROVIDER)} sends were given up")


CASE = Case(
    name="drip",
    sentence="FCM answers one byte each 10 s: the deadline is for the whole answer, others arrive meanwhile.",
    inject=inject,
    about_answers=True,
)
