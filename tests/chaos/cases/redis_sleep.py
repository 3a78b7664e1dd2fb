import signal
import time

from tests.chaos.case import Case
from tests.chaos.run import AT_ONCE, Run

ASLEEP_S = 30.0
CONSUMING_S = 60.0


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until_sent(1 / 3)
    redis = run.rig.redis.process
    assert redis is not None
    redis.send(signal.SIGSTOP)
    run.order(patience_s=AT_ONCE)
    time.sleep(ASLEEP_S)
    redis.send(signal.SIGCONT)
    run.wait_until_consuming(CONSUMING_S)


CASE = Case(
    name="redis-sleep",
    sentence="Redis keeps its connections and answers nothing for 30 s, and jobs are ordered meanwhile.",
    inject=inject,
)
