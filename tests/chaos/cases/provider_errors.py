"""A share of all sends fails for no reason; the repeats may not become a storm."""

import time

from tests.chaos.case import Case
from tests.chaos.push_faults import PATIENT, wait_until_all_are_taken
from tests.chaos.rig import PROCESSES_PER_WORKER, say
from tests.chaos.run import Run

PROVIDERS = ("fcm", "apns", "wns", "web_push")
SHARE = 0.15
REPEATS_SHARE = 0.1
REPEATS_PER_S = 1.0
"""Of each process, beside the share; and one at once when it begins."""


def inject(run: Run) -> None:
    services = run.rig.services
    before = {each: asked(run, each) for each in PROVIDERS}
    began = time.monotonic()
    for each in PROVIDERS:
        services.fault(each, "answer", status=500, share=SHARE)
    run.order()
    seconds = {each: wait_until_taken(run, each, began) for each in PROVIDERS}
    wait_until_all_are_taken(run)
    services.heal()
    for each in PROVIDERS:
        check_repeats(run, each, asked(run, each) - before[each], seconds[each])


def asked(run: Run, provider: str) -> int:
    """Sends that the service has answered."""
    answers = run.rig.services.counts()[provider]["answers"]
    return sum(int(times) for status, times in answers.items() if status in ("200", "201", "500"))


def wait_until_taken(run: Run, provider: str, began: float) -> float:
    """The seconds until nothing was left for it; the others may have been done before."""
    run.wait_until(
        lambda: run.count("true") == run.messages and not run.count("provider = %s AND status = 'pending'", provider),
        f"end of {provider}'s queue",
    )
    return time.monotonic() - began


def check_repeats(run: Run, provider: str, requests: int, seconds: float) -> None:
    """By the service's own count: what it was asked beyond once for each message."""
    messages = run.count("provider = %s OR fallback_from = %s", provider, provider)
    repeats = requests - messages
    most = REPEATS_SHARE * requests + PROCESSES_PER_WORKER * REPEATS_PER_S * (seconds + 1)
    say(f"{provider}: {messages} messages, {repeats} repeats in {seconds:.0f} s, at most {most:.0f}")
    if repeats > most:
        run.problem(f"{repeats} repeats of {provider}, at most {most:.0f}")


CASE = Case(
    name="provider-errors",
    sentence="All push services fail 15 % of the sends with 500: they are repeated, at the pace of the retry budget.",
    inject=inject,
    settings=PATIENT,
)
