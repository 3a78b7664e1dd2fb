from tests.chaos.case import Case
from tests.chaos.push_faults import hold_up
from tests.chaos.run import Run

LASTS_S = 20.0


def inject(run: Run) -> None:
    """What hangs was not taken, so nothing may come twice."""
    hold_up(run, "apns", "hang", LASTS_S)


CASE = Case(
    name="hung",
    sentence="APNs takes requests and never answers: each send ends with its deadline, others arrive meanwhile.",
    inject=inject,
    about_answers=True,
)
