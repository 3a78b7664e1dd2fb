"""Everything is told to end at once, while sends and acks are in flight, and is started again; many times."""

import os
import signal
import time
from contextlib import suppress

from tests.chaos.case import Case
from tests.chaos.rig import OTHERS, WORKERS, say
from tests.chaos.run import Run

ROUNDS = 10
MESSAGES_PER_ROUND = 100
NAMES = ("web", *WORKERS, *OTHERS)
SLOW = ("fcm", "apns", "wns", "web_push")
SLOW_S = 1.0
SHARE_MET = 0.8
"""Of the rounds, how many have to meet sends in flight."""
GONE_WITHIN_S = 40.0
BEGUN_S = ORDERED_WITHIN_S = 90.0
STARTING = -signal.SIGTERM
"""Exit status of a process that was not ready yet when it was told to end."""


def inject(run: Run) -> None:
    for service in SLOW:
        run.rig.services.fault(service, "delay", delay_s=SLOW_S)
    rounds = max(2, min(ROUNDS, run.messages // MESSAGES_PER_ROUND))
    met_sends = 0
    for number in range(rounds):
        run.order(run.messages // rounds if number < rounds - 1 else None, patience_s=ORDERED_WITHIN_S)
        run.wait_until(lambda: run.held("fcm") > 0 or all_sent(run), "sends in flight", BEGUN_S, pause_s=0.01)
        met_sends += run.held("fcm") > 0
        end_all(run, number)
        for name in NAMES:
            run.rig.start(name)
    for name in NAMES:
        run.rig.wait_until_ready(name)
    run.rig.services.heal()
    if met_sends < rounds * SHARE_MET:
        run.problem(f"only {met_sends} of {rounds} rounds met sends in flight")
    run.began = time.monotonic()  # ten starts of everything take minutes; the messages' own time begins here


def all_sent(run: Run) -> bool:
    """Where an order was taken whose answer got lost: asked again, its messages may be gone when that is answered."""
    return run.sent() == run.ordered


def end_all(run: Run, number: int) -> None:
    """By turns the processes alone, their whole groups as systemd does, and twice in a row."""
    held = run.count("claim_token IS NOT NULL AND status = 'pending'")
    began = time.monotonic()
    for _ in range(2 if number % 3 == 2 else 1):
        for name in NAMES:
            with suppress(ProcessLookupError):
                if number % 3 == 1:
                    os.killpg(run.rig.process(name).pid, signal.SIGTERM)
                else:
                    run.rig.process(name).send(signal.SIGTERM)
    for name in NAMES:
        process = run.rig.process(name)
        gone = run.wait_until(
            lambda process=process: not process.alive,  # type: ignore[misc]
            f"end of {name}",
            max(0.0, began + GONE_WITHIN_S - time.monotonic()),
        )
        if gone and process.wait() not in (0, STARTING):
            run.problem(f"{name} ended with {process.wait()}")
        process.kill()
    left = run.count("claim_token IS NOT NULL AND status = 'pending'")
    if left:
        run.problem(f"{left} messages stay claimed after the end of all")
    say(f"round {number + 1}: {held} messages held, all gone after {time.monotonic() - began:.1f} s")


CASE = Case(
    name="sigterm",
    sentence="Ten times SIGTERM to everything under load: 0 extra sends, nothing stays claimed, gone within 40 s.",
    inject=inject,
    settings={"SEND_DEADLINE_S": "10", "BATCH_BUDGET_S": "30", "TASK_LIMIT_S": "35", "LEASE_S": "60"},
)
