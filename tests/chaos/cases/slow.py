import time

from tests.chaos.case import Case
from tests.chaos.push_faults import check_deadline, unanswered, wait_until_met, wait_until_others_arrive
from tests.chaos.rig import say
from tests.chaos.run import Run

PROVIDER = "web_push"
SLOW_S = 30.0


def inject(run: Run) -> None:
    """What was given up is taken all the same, half a minute later; each such send may be one too many."""
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    services = run.rig.services
    slow = services.fault(PROVIDER, "delay", delay_s=SLOW_S)
    run.order()
    wait_until_met(run, slow)
    wait_until_others_arrive(run, PROVIDER)
    run.wait_until(lambda: unanswered(run, PROVIDER) > 0, "send that was given up")
    late = services.met(slow)
    services.heal(slow)
    time.sleep(SLOW_S)
    run.may_repeat(late)
    check_deadline(run, PROVIDER)
    say(f"{late} requests were taken {SLOW_S:.0f} s late; {unanswered(run, PROVIDER)} sends were given up")


CASE = Case(
    name="slow",
    sentence="A Web Push service takes 30 s for each request: sends end with their deadline, others arrive meanwhile.",
    inject=inject,
    about_answers=True,
)
