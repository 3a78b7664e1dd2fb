import os
import signal
from typing import Any
from uuid import UUID

import psutil

from tests.chaos.case import Case
from tests.chaos.cases.worker_kill import EXTRA_SENDS_PER_PROCESS
from tests.chaos.rig import LEASE_S, PROCESSES_PER_WORKER, say
from tests.chaos.run import Run

ANOTHER = "fcm-again"
DRIP_S = 0.02
"""For each byte of an answer: the service has the message a second before we know it."""
IN_FLIGHT = 10
HOLDING_S = 30.0
SWEPT_S = 30.0
WOKEN_S = 30.0
CLAIM_LOST = '"claim lost"'


def inject(run: Run) -> None:
    """All devices sleep as well, or their acks would end what the sleeping worker holds."""
    drip = run.rig.services.fault("fcm", "drip", delay_s=DRIP_S)
    sleeper, pid = run.rig.process("fcm"), run.rig.process("fcm").pid
    children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    run.order(run.messages // 2)
    run.rig.fleet.process.send(signal.SIGSTOP)
    run.wait_until(lambda: in_flight(run) >= IN_FLIGHT, "sends in flight", HOLDING_S, pause_s=0.01)
    os.killpg(pid, signal.SIGSTOP)
    run.rig.services.heal(drip)
    held = held_rows(run)
    say(f"the worker of fcm sleeps and holds {len(held)} messages, {in_flight(run)} of them in flight")
    if not held:
        run.problem("the sleeping worker holds nothing")
    run.may_repeat(min(len(held), PROCESSES_PER_WORKER * EXTRA_SENDS_PER_PROCESS))
    run.rig.production.start("fcm", instance=ANOTHER)
    run.wait_until(lambda: not_sent(run, held) == 0, "send of what the sleeper holds", LEASE_S + SWEPT_S)
    run.rig.fleet.process.send(signal.SIGCONT)
    run.wait_until(lambda: not_delivered(run, held) == 0, "delivery of what the sleeper holds", SWEPT_S)
    before = story(run, held)
    for child in children:
        os.kill(child, signal.SIGCONT)  # before the parent, which would end them for having taken so long
    run.wait_until(lambda: sleeper.output().count(CLAIM_LOST) >= len(held), "end of the stale holder's work", WOKEN_S)
    if story(run, held) != before:
        run.problem("the stale holder changed rows that are no longer its own")
    say(f"{sleeper.output().count(CLAIM_LOST)} claims were lost")
    os.killpg(pid, signal.SIGCONT)
    run.order()
    run.wait_until_sent(1)
    run.rig.process(ANOTHER).stop()
    del run.rig.production.processes[ANOTHER]


def in_flight(run: Run) -> int:
    """Messages that the service has and that the record does not yet call sent."""
    taken = run.rig.services.counts()["fcm"]["accepted"]
    return int(taken) - run.count("provider = 'fcm' AND sent_at IS NOT NULL")


def held_rows(run: Run) -> list[UUID]:
    rows = run.rig.record.rows(
        """SELECT message_id FROM push_notification_logs
           WHERE job_id = ANY(%s) AND provider = 'fcm' AND claim_token IS NOT NULL AND status = 'pending'""",
        run.job_ids,
    )
    return [row["message_id"] for row in rows]


def not_sent(run: Run, held: list[UUID]) -> int:
    return run.count("message_id = ANY(%s) AND sent_at IS NULL", held)


def not_delivered(run: Run, held: list[UUID]) -> int:
    return run.count("message_id = ANY(%s) AND status <> 'delivered'", held)


def story(run: Run, held: list[UUID]) -> list[dict[str, Any]]:
    """All that is written about these messages."""
    return run.rig.record.rows(
        "SELECT * FROM push_notification_logs WHERE message_id = ANY(%s) ORDER BY id", held
    ) + run.rig.record.rows(
        """SELECT a.* FROM delivery_deliveryattempt a JOIN push_notification_logs m ON m.id = a.push_id
           WHERE m.message_id = ANY(%s) ORDER BY a.id""",
        held,
    )


CASE = Case(
    name="sigstop",
    sentence="A worker is stopped for longer than its lease, another takes over, and the first goes on where it was.",
    inject=inject,
)
