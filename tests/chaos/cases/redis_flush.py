import time

import redis

from tests.chaos.case import Case
from tests.chaos.rig import WORKERS, say
from tests.chaos.run import Run

FLUSHES = 20
EVERY_S = 0.1
QUEUES = [name if name in ("fanout", "maintenance") else f"push.{name}" for name in WORKERS]
CONSUMING_S = 60.0


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 3)
    run.order()
    hints = 0
    with redis.Redis(port=run.rig.redis.port) as client:
        for _ in range(FLUSHES):
            hints += sum(client.llen(queue) for queue in QUEUES)
            client.flushall()
            time.sleep(EVERY_S)
    say(f"{hints} hints were flushed; {run.messages - run.sent()} messages are not sent")
    run.wait_until_consuming(CONSUMING_S)


CASE = Case(
    name="redis-flush",
    sentence="Redis is emptied again and again while jobs are fanned out and sent: hints and counters are gone.",
    inject=inject,
)
