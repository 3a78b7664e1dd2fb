import time
from collections import Counter
from uuid import UUID

from tests.chaos.case import Case
from tests.chaos.rig import PROCESSES_PER_WORKER, PROVIDERS, say
from tests.chaos.run import Run

KILLS = 20
EVERY_S = 3.0
MESSAGES_PER_KILL = 250
"""In a short run there are fewer kills, so that there is something to kill."""
EXTRA_SENDS_PER_PROCESS = 200
"""What one killed process may have sent without having said so: its window of 100 and one batch of 100 results."""
HOLDING_S = 20.0
LOOK_S = 0.01
SLOW = ("fcm", "apns", "wns", "web_push")
SLOW_S = 0.3
"""What each of these takes for an answer, so that there are sends in flight to be cut off."""


def inject(run: Run) -> None:
    kills = max(2, min(KILLS, run.messages // MESSAGES_PER_KILL))
    killed: Counter[str] = Counter()
    dead: set[UUID] = set()
    for service in SLOW:
        run.rig.services.fault(service, "delay", delay_s=SLOW_S)
    for number in range(kills):
        next_at = time.monotonic() + EVERY_S
        run.order(run.messages // kills if number < kills - 1 else None)
        kill_one(run, killed, dead)
        time.sleep(max(0.0, next_at - time.monotonic()))
    run.rig.services.heal()


def kill_one(run: Run, killed: Counter[str], dead: set[UUID]) -> None:
    """A worker that holds messages, one that was killed seldom; what it holds is what may come twice."""
    holding: dict[str, dict[UUID, int]] = {}

    def somebody_holds() -> bool:
        holding.update(held_by_the_living(run, dead))
        return bool(holding)

    if not run.wait_until(somebody_holds, "worker that holds messages", HOLDING_S, pause_s=LOOK_S):
        return
    provider = min(holding, key=lambda name: (killed[name], PROVIDERS.index(name)))
    run.rig.kill(provider)
    held = held_by_the_living(run, dead).get(provider, {})
    run.may_repeat(min(sum(held.values()), PROCESSES_PER_WORKER * EXTRA_SENDS_PER_PROCESS))
    dead.update(held)
    killed[provider] += 1
    say(f"{provider} was killed while it held {sum(held.values())} messages")
    run.rig.start(provider)


def held_by_the_living(run: Run, dead: set[UUID]) -> dict[str, dict[UUID, int]]:
    """By provider: how many messages each claim holds, but those of killed workers."""
    found = run.rig.record.rows(
        """SELECT provider, claim_token, count(*) AS held FROM push_notification_logs
           WHERE job_id = ANY(%s) AND status = 'pending' AND claim_token IS NOT NULL AND claim_token <> ALL(%s)
           GROUP BY 1, 2""",
        run.job_ids,
        list(dead),
    )
    return {
        provider: {row["claim_token"]: row["held"] for row in found if row["provider"] == provider}
        for provider in {row["provider"] for row in found}
    }


CASE = Case(
    name="worker-kill",
    sentence="Twenty times a provider's worker, parent and children, is killed with -9 while it holds messages.",
    inject=inject,
)
