import time

from tests.chaos.case import Case
from tests.chaos.push_faults import wait_until_met, wait_until_others_arrive
from tests.chaos.rig import say
from tests.chaos.run import Run

PROVIDER = "fcm"
SHARE_OF_PROVIDER = 5
SECONDS_FOR_ALL = 40
"""At the quota, all of the provider's messages take so long."""
LASTS_S = 30.0


def inject(run: Run) -> None:
    services = run.rig.services
    quota_per_s = max(2, run.messages // SHARE_OF_PROVIDER // SECONDS_FOR_ALL)
    throttling = services.fault(PROVIDER, "quota", limit=quota_per_s)
    run.order()
    wait_until_met(run, throttling)
    began = time.monotonic()
    time.sleep(LASTS_S / 2)
    first_half = services.met(throttling)
    wait_until_others_arrive(run, PROVIDER)
    time.sleep(max(0.0, began + LASTS_S - time.monotonic()))
    second_half = services.met(throttling) - first_half
    [state] = run.rig.record.rows("SELECT * FROM delivery_providerstate WHERE provider = %s", PROVIDER)
    services.heal(throttling)
    say(f"quota {quota_per_s}/s: refused {first_half} in the first half, {second_half} in the second")
    if state["rate_per_s"] is None:
        run.problem("the project's queue was not slowed")
    if state["state"] != "closed":
        run.problem(f"the breaker is {state['state']}: a provider that throttles is not down")
    if second_half > first_half:
        run.problem(f"{second_half} refused after {first_half}: the queue did not slow down")
    check_others_are_not_slowed(run)


def check_others_are_not_slowed(run: Run) -> None:
    slowed = run.rig.record.rows(
        "SELECT provider FROM delivery_providerstate WHERE provider <> %s AND rate_per_s IS NOT NULL", PROVIDER
    )
    if slowed:
        run.problem(f"slowed, too: {', '.join(row['provider'] for row in slowed)}")


CASE = Case(
    name="throttled-project",
    sentence="FCM answers 429 above the project's quota: its queue slows down, others go on, nothing is lost.",
    inject=inject,
)
