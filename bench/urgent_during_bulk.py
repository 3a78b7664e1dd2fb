"""Critical messages, ordered one at a time while two jobs of 100,000 low ones are fanned out and sent.

A wait is from the order's commit until the provider has taken the message. Beside it, in the same run: the same on an
idle machine, and what a queue without priorities would do, shown by single messages that are as low as the bulk.
"""

import sys

from bench import cpu, waits
from bench.case import Case, Figures
from bench.stage import TTL_S, Play, Stage

DEVICES = 100_000
JOBS = 2
ORDERS = 60
IN_LINE_EVERY = 4
DRAINED_S = 300.0
TAKEN_AT = "(sent_at + handoff_ms * interval '1 millisecond')"


def case() -> Case:
    return Case(
        name="urgent_during_bulk",
        sentence=f"p95 of {ORDERS} critical messages, accepted to sent, while {JOBS * DEVICES} low ones drain",
        unit="ms",
        less_is_better=True,
        peer="first in, first out",
        limit="idle",
        measure=_measure,
    )


def _measure(stage: Stage) -> Figures:
    with stage.play("fanout", "maintenance", "fcm") as play:
        play.devices("fcm", DEVICES, "'token-' || n")
        play.warm_up("fcm")
        idle = waits.waits_ms(play, [_order(play, number, "critical") for number in range(ORDERS)], TAKEN_AT)
        parts, before = play.processes(), cpu.seconds(play.processes())
        critical, in_line = _during_bulk(play)
        cost_us = cpu.spent_us(before, cpu.seconds(parts), JOBS * DEVICES)
        print(
            f"            p50 critical {waits.p50(critical):.0f} ms, idle {waits.p50(idle):.0f} ms,"
            f" in line {waits.p50(in_line):.0f} ms",
            file=sys.stderr,
        )
        return Figures(waits.p95(critical), waits.p95(idle), cost_us, peer_value=waits.p95(in_line))


def _during_bulk(play: Play) -> tuple[list[float], list[float]]:
    """The waits of the critical messages, and of the low ones that were ordered among them."""
    for _ in range(JOBS):
        play.api.order({"all": True}, priority="low", ttl_seconds=TTL_S)
    critical, in_line = [], []
    for number in range(ORDERS):
        critical.append(_order(play, number, "critical"))
        if number % IN_LINE_EVERY == 0:
            in_line.append(_order(play, number, "low"))
    if not play.record.rows("SELECT 1 FROM push_notification_logs WHERE status = 'pending' AND priority = 3 LIMIT 1"):
        raise AssertionError("the low ones were all sent before the last critical one was ordered")
    return (
        waits.waits_ms(play, critical, TAKEN_AT),
        waits.waits_ms(play, in_line, TAKEN_AT, DRAINED_S),
    )


def _order(play: Play, number: int, priority: str) -> str:
    return waits.order_one(play, f"fcm-{number + 1}", priority)
