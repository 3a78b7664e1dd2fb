"""The connection is cut before the service has taken the message."""

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
    cutting = {each: services.fault(each, "reset-before", share=SHARE) for each in HTTP_1}
    cutting[HTTP_2] = services.fault(HTTP_2, "reset-before", share=CUTS_OF_SHARED / of_provider)
    run.order()
    wait_until_all_are_taken(run)
    resets = {name: services.met(number) for name, number in cutting.items()}
    services.heal()
    cut_off = unanswered(run, HTTP_2)
    run.may_repeat(cut_off - resets[HTTP_2])
    say(f"connections were reset: {resets}; {cut_off} answers of {HTTP_2} were cut off")
    if cut_off < resets[HTTP_2] or not all(resets[name] for name in HTTP_1):
        run.problem("a reset did not reach its sender")


CASE = Case(
    name="reset-before",
    sentence="Connections are reset before the service took the message: it comes, and once.",
    inject=inject,
    about_answers=True,
    settings=PATIENT,
)
