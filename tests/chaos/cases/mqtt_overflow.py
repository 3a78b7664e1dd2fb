import signal
import time

from simulator.fleet.ledger import FETCHED, PUSHED
from tests.chaos.case import Case
from tests.chaos.rig import say
from tests.chaos.run import Run

DEVICES = 5
MESSAGES_EACH = 200
TTL_S = 60
IN_FLIGHT, QUEUED = 100, 50
"""What the broker keeps for a device that is connected and silent: it drops the rest without a word to us."""
SENT_S = 30.0
SWEPT_S = 30.0


def inject(run: Run) -> None:
    """Devices sleep while they get more than their sessions hold."""
    run.rig.mqtt.settings = {"max_queued_messages": str(QUEUED)}
    run.rig.mqtt.restart()
    places = run.rig.fleet.devices()
    sleepers = [device_id for device_id, place in places.items() if place.channel == "mqtt"][:DEVICES]
    run.order(run.messages - MESSAGES_EACH * len(sleepers))
    run.wait_until(lambda: run.delivered() == run.ordered, "messages delivered")
    run.rig.fleet.process.send(signal.SIGSTOP)
    began, first = time.monotonic(), len(run.job_ids)
    for _ in range(MESSAGES_EACH):
        run.order_for(sleepers, ttl_s=TTL_S)
    jobs = run.job_ids[first:]
    run.wait_until(lambda: count(run, jobs, "sent") == len(jobs) * len(sleepers), "messages at the broker", SENT_S)
    run.rig.fleet.process.send(signal.SIGCONT)
    time.sleep(max(0.0, began + TTL_S - time.monotonic()))
    run.wait_until(lambda: count(run, jobs, "sent") == 0, "end of what the broker dropped", SWEPT_S)
    judge(run, jobs, (IN_FLIGHT + QUEUED) * len(sleepers))


def judge(run: Run, jobs: list[str], room: int) -> None:
    """What the broker had no room for was fetched from an inbox by a device that came back, or it expired."""
    rows = run.rig.record.rows("SELECT message_id::text AS id FROM push_notification_logs WHERE job_id = ANY(%s)", jobs)
    flood, told = {row["id"] for row in rows}, run.rig.fleet.told()
    pushed = {note["message_id"] for note in told if note["what"] == PUSHED} & flood
    fetched = {note["message_id"] for note in told if note["what"] == FETCHED} & flood - pushed
    run.allowed.expired = len(flood) - len(pushed) - len(fetched)
    say(f"of {len(flood)} messages {len(pushed)} came from the broker, {len(fetched)} from inboxes")
    if len(pushed) > room:
        run.problem(f"the broker kept {len(pushed)} messages: no session overflowed")


def count(run: Run, job_ids: list[str], status: str) -> int:
    return run.count("job_id = ANY(%s) AND status = %s", job_ids, status)


CASE = Case(
    name="mqtt-overflow",
    sentence="Sessions at the broker overflow: what they dropped is fetched or expires, and is never called delivered.",
    inject=inject,
    settings={"RATE_LIMIT_FACTOR": "10000"},
    messages=2_000,
)
