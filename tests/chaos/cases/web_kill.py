import time

from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run

KILLS = 5
AWAY_S = 1.0
PATIENCE_S = 60.0


def inject(run: Run) -> None:
    """Each order meets a web that is not there yet, and is repeated with its Idempotency-Key until it is."""
    for number in range(KILLS):
        run.order(run.messages // KILLS if number < KILLS - 1 else None, patience_s=PATIENCE_S)
        before = run.delivered()
        run.wait_until(lambda before=before: run.delivered() > before, "ack")  # type: ignore[misc]
        run.rig.kill("web")
        say(f"web was killed when {run.delivered()} messages were delivered")
        time.sleep(AWAY_S)
        run.rig.start("web")
    run.rig.wait_until_ready("web")


CASE = Case(
    name="web-kill",
    sentence="All web processes are killed with -9 five times while devices ack and jobs are ordered.",
    inject=inject,
)
