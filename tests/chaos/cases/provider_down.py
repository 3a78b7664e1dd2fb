import time

from tests.chaos.case import Case
from tests.chaos.cases.worker_kill import EXTRA_SENDS_PER_PROCESS
from tests.chaos.push_faults import breaker, is_open, wait_until_others_arrive
from tests.chaos.rig import PROCESSES_PER_WORKER, say
from tests.chaos.run import Run

PROVIDER = "fcm"
RETRY_AFTER_S = 5
LASTS_S = 40.0
OPEN_WITHIN_S = 10.0
FLIGHT_S = 6.0
"""From the opening of the breaker to the answer of what was in flight."""
PROBES_PER_S = 1.0
FULL_WITHIN_S = 60.0


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 4)
    services = run.rig.services
    down = services.fault(PROVIDER, "answer", status=503, retry_after=str(RETRY_AFTER_S))
    run.order()
    run.wait_until(lambda: services.met(down) > 0, "request to a provider that is down")
    began = time.monotonic()
    run.wait_until(is_open(run, PROVIDER), "open breaker", OPEN_WITHIN_S)
    say(f"the breaker is open {time.monotonic() - began:.1f} s after the first 503")
    time.sleep(FLIGHT_S)
    before, open_since = services.met(down), time.monotonic()
    if before > PROCESSES_PER_WORKER * EXTRA_SENDS_PER_PROCESS + FLIGHT_S * PROBES_PER_S:  # in flight and unwritten
        run.problem(f"{before} requests before the breaker held them back")
    wait_until_others_arrive(run, PROVIDER)
    time.sleep(max(0.0, began + LASTS_S - time.monotonic()))
    probes, waited_s = services.met(down) - before, time.monotonic() - open_since
    say(f"{before} requests until the breaker held, then {probes} probes in {waited_s:.0f} s")
    if probes > waited_s * PROBES_PER_S + 1:
        run.problem(f"{probes} probes in {waited_s:.0f} s")
    services.heal(down)
    come_back(run)


def come_back(run: Run) -> None:
    """Nothing may wait for the provider once a minute has passed, by when it has its full rate."""
    healed = time.monotonic()
    waiting = run.count("status = 'pending' AND provider = %s", PROVIDER)
    run.wait_until(
        lambda: not run.count("status = 'pending' AND provider = %s", PROVIDER), "end of the queue", FULL_WITHIN_S
    )
    say(f"{waiting} messages waited, sent {time.monotonic() - healed:.0f} s after the provider came back")
    if breaker(run, PROVIDER) != "closed":
        run.problem("the breaker did not close")


CASE = Case(
    name="provider-down",
    sentence="FCM answers 503 with Retry-After: only probes go out, others arrive, and it is back within a minute.",
    inject=inject,
)
