from tests.chaos.case import Case
from tests.chaos.push_faults import PATIENT, wait_until_all_are_taken
from tests.chaos.rig import PROCESSES_PER_WORKER, say
from tests.chaos.run import Run

PROVIDER = "apns"
CONNECTIONS = 20
WINDOW = "10"
"""Few at a time: a connection that goes away still finishes all that was begun on it."""


def inject(run: Run) -> None:
    """What a closing connection has not begun is safe to send again; so nothing may come twice."""
    services = run.rig.services
    services.fault(PROVIDER, "goaway", limit=max(10, run.messages // 5 // CONNECTIONS))
    run.order()
    wait_until_all_are_taken(run)
    opened = services.counts()[PROVIDER]["connections_opened"]
    services.heal()
    say(f"{opened} connections to {PROVIDER} were opened")
    if opened <= PROCESSES_PER_WORKER:
        run.problem(f"only {opened} connections: nothing was sent away")


CASE = Case(
    name="goaway",
    sentence="APNs ends each connection with GOAWAY after some requests: no message is lost, and none comes twice.",
    inject=inject,
    settings={**PATIENT, "SEND_WINDOW": WINDOW},
)
