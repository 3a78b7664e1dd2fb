from tests.chaos.case import Case
from tests.chaos.push_faults import hold_up
from tests.chaos.run import Run

BYTE_EVERY_S = 10.0
LASTS_S = 20.0


def inject(run: Run) -> None:
    """The message is taken at once; each send whose answer never ends may be one too many."""
    run.may_repeat(hold_up(run, "fcm", "drip", LASTS_S, delay_s=BYTE_EVERY_S))


CASE = Case(
    name="drip",
    sentence="FCM answers one byte each 10 s: the deadline is for the whole answer, others arrive meanwhile.",
    inject=inject,
    about_answers=True,
)
