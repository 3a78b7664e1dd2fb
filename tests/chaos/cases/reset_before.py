"""The connection is cut before the service has taken the message."""

from tests.chaos.case import Case
from tests.chaos.push_faults import HTTP_2, PATIENT, cut
from tests.chaos.run import Run


def inject(run: Run) -> None:
    """What else is in flight on a connection of HTTP/2 may have been taken."""
    resets, cut_off = cut(run, "reset-before")
    run.may_repeat(cut_off - resets[HTTP_2])


CASE = Case(
    name="reset-before",
    sentence="Connections are reset before the service took the message: it comes, and once.",
    inject=inject,
    about_answers=True,
    settings=PATIENT,
)
