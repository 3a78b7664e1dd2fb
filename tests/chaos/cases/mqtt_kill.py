import time

from tests.chaos.case import Case
from tests.chaos.rig import PROCESSES_PER_WORKER, say
from tests.chaos.run import Run

AWAY_S = 5.0
WINDOW = 100
"""Messages that one process has at the broker without their PUBACK: they are published again."""


def inject(run: Run) -> None:
    run.order(run.messages // 2)
    run.wait_until(lambda: run.count("provider = 'mqtt' AND sent_at IS NOT NULL") > 0, "message sent over MQTT")
    run.rig.mqtt.kill()
    run.may_repeat(PROCESSES_PER_WORKER * WINDOW)
    run.order()
    time.sleep(AWAY_S)
    run.rig.mqtt.start()
    say(f"the broker is back; {run.messages - run.sent()} messages are not sent")


CASE = Case(
    name="mqtt-kill",
    sentence="The MQTT broker is killed with -9 and started again after 5 s; what it had not saved is gone.",
    inject=inject,
)
