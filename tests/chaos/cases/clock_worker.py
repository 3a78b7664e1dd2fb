import time

from tests import faketime
from tests.chaos.case import Case
from tests.chaos.rig import PROVIDERS
from tests.chaos.run import Run

OFF_S = {"fanout": -600, "maintenance": 600, "beat": -600, "mqtt_acks": 600, "web": -600}
"""Besides the workers of the providers, every second one ahead and the others behind."""
READY_S = 90.0
WRONG = "sent_at < created_at OR sent_at > now() OR acked_at > now() OR latency_ms < 0"
SKEWED = "clock_skewed AND NOT (sent_at > received_at AND message_id::text = ANY(%s))"
"""But what its device fetched from its inbox while a worker held it, which sent it a little later."""


def inject(run: Run) -> None:
    if faketime.library() is None:
        run.problem(faketime.MISSING)
        return
    workers = {name: 600 if number % 2 else -600 for number, name in enumerate(PROVIDERS)}
    for name, seconds in {**OFF_S, **workers}.items():
        run.rig.process(name).stop()
        run.rig.production.start(name, **faketime.off_by(seconds))
    for name in run.rig.production.processes:
        run.rig.wait_until_ready(name, READY_S)
    run.began = time.monotonic()  # all have started once more
    run.order()
    run.wait_until_sent(1)
    run.wait_until(lambda: run.delivered() == run.messages, "messages delivered")
    if wrong := run.count(WRONG) + run.count(SKEWED, run.fetched()):
        run.problem(f"{wrong} messages bear a time of a wrong clock")


CASE = Case(
    name="clock-worker",
    sentence="Every process has a clock that is ten minutes ahead or behind: no time of theirs is in any row.",
    inject=inject,
)
