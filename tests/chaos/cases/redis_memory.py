import time

import redis

from tests.chaos.case import Case
from tests.chaos.run import AT_ONCE, Run

FULL_S = 15.0
CONSUMING_S = 60.0


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 3)
    with redis.Redis(port=run.rig.redis.port) as client:
        client.config_set("maxmemory", 1)
        run.order(patience_s=AT_ONCE)
        time.sleep(FULL_S)
        client.config_set("maxmemory", 0)
    run.wait_until_consuming(CONSUMING_S)


CASE = Case(
    name="redis-memory",
    sentence="Redis is out of memory for 15 s, takes nothing more, and jobs are ordered meanwhile.",
    inject=inject,
)
