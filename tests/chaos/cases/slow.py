import time

from tests.chaos.case import Case
from tests.chaos.push_faults import hold_up
from tests.chaos.run import Run

SLOW_S = 30.0


def inject(run: Run) -> None:
    """What was given up is taken all the same, half a minute later; each such send may be one too many."""
    run.may_repeat(hold_up(run, "web_push", "delay", lasts_s=0.0, delay_s=SLOW_S))
    time.sleep(SLOW_S)


CASE = Case(
    name="slow",
    sentence="A Web Push service takes 30 s for each request: sends end with their deadline, others arrive meanwhile.",
    inject=inject,
    about_answers=True,
)
