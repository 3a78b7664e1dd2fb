"""A case from its first order to its line."""

from dataclasses import dataclass

from tests.chaos import checks
from tests.chaos.case import Case
from tests.chaos.push_faults import NO_ANSWER, attempts
from tests.chaos.rig import Rig
from tests.chaos.run import Run


@dataclass(frozen=True, slots=True)
class Verdict:
    line: str
    problems: list[str]

    @property
    def good(self) -> bool:
        return not self.problems


def judge(case: Case, rig: Rig, messages: int) -> Verdict:
    """Run a case on a rig that stands; the rig is whole again afterwards, if the case was good."""
    run = Run(rig, case.messages or messages)
    case.inject(run)
    seconds = checks.wait_for_the_end(run)
    if not case.about_answers:
        run.may_repeat(attempts(run, "a.code = %s", NO_ANSWER))
    found = checks.look(run, seconds)
    numbers = checks.figures(found, run.allowed)
    problems = [*run.problems, *checks.wrong(found, numbers, run.allowed)]
    problems += [f"{name} does not run any more" for name in rig.dead()]
    if run.ordered != run.messages:
        problems.append(f"{run.ordered} messages were ordered, not {run.messages}")
    return Verdict(numbers.line(case.name, not problems), problems)
