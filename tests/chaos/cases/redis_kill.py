import time

from tests.chaos.case import Case
from tests.chaos.run import AT_ONCE, Run

AWAY_S = 5.0
CONSUMING_S = 60.0


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 3)
    run.rig.redis.kill()
    run.order(patience_s=AT_ONCE)
    time.sleep(AWAY_S)
    run.rig.redis.start()
    run.wait_until_consuming(CONSUMING_S)


CASE = Case(
    name="redis-kill",
    sentence="Redis is killed with -9, jobs are ordered while it is away, and it is started again after 5 s.",
    inject=inject,
)
