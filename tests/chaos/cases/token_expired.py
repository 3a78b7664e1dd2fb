"""No access token given so far is taken any more, while messages go out."""

from tests.chaos.case import Case
from tests.chaos.push_faults import PATIENT, attempts
from tests.chaos.rig import PROCESSES_PER_WORKER, say
from tests.chaos.run import Run

PROVIDERS = ("fcm", "wns")
"""APNs and Web Push are given no tokens: they sign their own."""


def inject(run: Run) -> None:
    services = run.rig.services
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    before = services.counts()
    for each in PROVIDERS:
        services.expire_tokens(each)
    run.order()
    run.wait_until_sent(1)
    after = services.counts()
    all_refused = 0
    for each in PROVIDERS:
        refused = int(after[each]["answers"].get("401", 0)) - int(before[each]["answers"].get("401", 0))
        given = int(after[each]["tokens_given"]) - int(before[each]["tokens_given"])
        all_refused += refused
        say(f"{each}: {refused} sends were refused, {given} new tokens were fetched")
        if not 1 <= given <= PROCESSES_PER_WORKER:
            run.problem(f"{given} tokens of {each} were fetched for {PROCESSES_PER_WORKER} processes")
    if not all_refused:
        run.problem("no send met the end of its token")
    if burnt := attempts(run, "a.provider = ANY(%s)", list(PROVIDERS)):
        run.problem(f"{burnt} attempts were burnt on a token that had ended")


CASE = Case(
    name="token-expired",
    sentence="FCM and WNS refuse the access token in the middle: one new token for each process, no attempt lost.",
    inject=inject,
    settings=PATIENT,
)
