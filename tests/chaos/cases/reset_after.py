"""The connection is cut when the service has taken the message: nobody can tell, so it comes again."""

from tests.chaos.case import Case
from tests.chaos.push_faults import HTTP_1, PATIENT, cut
from tests.chaos.run import Run


def inject(run: Run) -> None:
    resets, cut_off = cut(run, "reset-after")
    run.may_repeat(sum(resets[name] for name in HTTP_1) + cut_off)


CASE = Case(
    name="reset-after",
    sentence="Connections are reset after the service took the message, before its answer: one extra send for each.",
    inject=inject,
    about_answers=True,
    settings=PATIENT,
)
