import time

import redis

from tests.chaos.case import Case
from tests.chaos.run import Run

KILLS = 10
ALIVE_S = 2.0


def inject(run: Run) -> None:
    """Without beat nothing replaces the hints that are lost with Redis; each new beat begins its schedule anew."""
    run.order()
    run.wait_until_sent(1 / 3)
    for _ in range(KILLS):
        run.rig.kill("beat")
        with redis.Redis(port=run.rig.redis.port) as client:
            client.flushall()
        run.rig.start("beat")
        time.sleep(ALIVE_S)
    run.rig.wait_until_ready("beat")


CASE = Case(
    name="beat-kill",
    sentence="Beat is killed with -9 ten times, each time with Redis emptied, so that only sweeps can go on.",
    inject=inject,
)
