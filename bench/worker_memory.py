"""A sending worker's memory over a million messages through the stub; 200,000 unless BENCH_MESSAGES says otherwise.

`BENCH_MESSAGES=1000000 make bench CASE=worker_memory` is the whole of it, and takes five times as long.
"""

import os
import time

from bench import cpu
from bench.case import Case, Figures
from bench.memory import Memory
from bench.stage import TTL_S, Play, Stage

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "200_000"))
DEVICES = min(50_000, MESSAGES)
FLAT_FROM = min(100_000, MESSAGES // 2)
POLL_S = 0.1
SLOWEST_PER_S = 500


def case() -> Case:
    return Case(
        name="worker_memory",
        sentence=f"a worker's memory over {MESSAGES} messages, furthest from what it was after {FLAT_FROM}",
        unit="MB",
        less_is_better=True,
        limit=f"after {FLAT_FROM} messages",
        measure=_measure,
    )


def _measure(stage: Stage) -> Figures:
    with stage.play("fanout", "maintenance", "fcm") as play:
        play.devices("fcm", DEVICES, "'token-' || n")
        memory = Memory(play.production.processes["fcm"].pid, step=DEVICES, flat_from=FLAT_FROM)
        parts, before = play.processes(), cpu.seconds(play.processes())
        counted = stage.stub.counts()["fcm"]
        for _ in range(MESSAGES // DEVICES):
            _send(play, memory, counted)
        cost_us = cpu.spent_us(before, cpu.seconds(parts), MESSAGES)
        memory.check()
        return Figures(memory.furthest, memory.first, cost_us)


def _send(play: Play, memory: Memory, counted: int) -> None:
    """One message to each device; the stub's count says how far it is."""
    stub = play.stage.stub
    wanted = stub.counts()["fcm"] + DEVICES
    gives_up_at = time.monotonic() + DEVICES / SLOWEST_PER_S
    play.api.order({"all": True}, priority="low", ttl_seconds=TTL_S)
    while (taken := stub.counts()["fcm"]) < wanted:
        memory.note(taken - counted)
        assert time.monotonic() < gives_up_at, f"{wanted - taken} messages are not sent yet"
        time.sleep(POLL_S)
    memory.note(taken - counted)
