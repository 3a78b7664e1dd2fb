"""The connection is cut when the service has taken the message: nobody can tell, so it comes again."""

from tests.chaos.case import Case
from tests.chaos.push_faults import HTTP_1, HTTP_2, PATIENT, unanswered, wait_until_all_are_taken
from tests.chaos.rig import PROVIDERS, say
from tests.chaos.run import Run

SHARE = 0.1
CUTS_OF_SHARED = 2
"""About so many: a cut of APNs' one connection ends all that is in flight on it, up to 100 sends of each process,
and their repeats are paced by the retry budget."""


def inject(run: Run) -> None:
    services, of_provider = run.rig.services, run.messages / len(PROVIDERS)
    cutting = {each: services.fault(each, "reset-after", share=SHARE) for each in HTTP_1}
    cutting[HTTP_2] = services.fault(HTTP_2, "reset-after", share=CUTS_OF_SHARED / of_provider)
    run.order()
    wait_until_all_are_taken(run)
    resets = {name: services.met(number) for name, number in cutting.items()}
    cut_off = unanswered(run, HTTP_2)
    run.may_repeat(sum(resets[name] for name in HTTP_1) + cut_off)
    services.heal()
    say(f"connections were reset: {resets}; {cut_off} answers of {HTTP_2} were cut off")
    if cut_off < resets[HTTP_2] or not all(resets[name] for name in HTTP_1):
        run.problem("a reset did not reach its sender")


CASE = Case(
    name="reset-after",
    sentence="Connections are reset after the service took the message, before its answer: one extra send for each.",
    inject=inject,
    about_answers=True,
    settings=PATIENT,
)
