import time

from tests.chaos.case import Case
from tests.chaos.run import Run

DOWN_S = 20.0
AN_HOUR = "interval '1 hour'"
COUNTED_S = 60.0


def inject(run: Run) -> None:
    """An hour passes for the hourly numbers by making them an hour older; nothing sweeps meanwhile."""
    run.rig.kill("beat")
    run.order(run.messages // 2)
    time.sleep(DOWN_S)
    run.rig.record.rows(
        f"UPDATE analytics_rollupstate SET looked_at = looked_at - {AN_HOUR} RETURNING id",
    )
    run.rig.start("beat")
    run.order()
    run.wait_until(lambda: run.delivered() == run.messages, "messages delivered")
    run.wait_until(lambda: counted(run) == run.messages, "deliveries in the hourly numbers", COUNTED_S)


def counted(run: Run) -> int:
    return run.rig.record.number("SELECT sum(delivered) FROM analytics_hourlyrollup")


CASE = Case(
    name="beat-down",
    sentence="Beat is away while messages go out: what it missed is made up for, and the hours are counted.",
    inject=inject,
)
