"""High messages, one at a time, until the simulated device on MQTT has acked: on an idle machine, and while two jobs of
low ones drain to every device, those on MQTT among them and 100,000 behind FCM (the stub).

An ack is committed after the device has the message, so it has it sooner than that. The devices are one process: more
low ones for them would measure how fast that process reads.
"""

import sys

from bench import cpu, waits
from bench.case import Case, Figures
from bench.order_to_device import CONNECTED_S
from bench.stage import TTL_S, Play, Stage
from tests.journey.fleet import Fleet

DEVICES = 2_000
OTHERS = 100_000
JOBS = 2
ORDERS = 60
LOW = JOBS * (DEVICES + OTHERS)
DRAINED_S = 300.0


def case() -> Case:
    return Case(
        name="high_to_device",
        sentence=f"p95 of {ORDERS} high messages until their device acked, while {LOW} low ones drain",
        unit="ms",
        less_is_better=True,
        limit="idle",
        measure=_measure,
    )


def _measure(stage: Stage) -> Figures:
    with stage.play("fanout", "maintenance", "mqtt", "fcm", SIMULATOR="0") as play:
        play.devices("fcm", OTHERS, "'token-' || n")
        play.production.start("mqtt_acks")
        fleet = Fleet(play.production, "fleet", devices=DEVICES, sites=1, channels="mqtt:1")
        try:
            fleet.wait_until_connected(CONNECTED_S)
            names = list(fleet.devices())
            idle = waits.waits_ms(play, _order(play, names), "acked_at")
            parts, before = play.processes(), cpu.seconds(play.processes())
            for _ in range(JOBS):
                play.api.order({"all": True}, priority="low", ttl_seconds=TTL_S)
            during = _order(play, names)
            if not play.record.rows("SELECT 1 FROM push_notification_logs WHERE status = 'pending' LIMIT 1"):
                raise AssertionError("the low ones were all sent before the last high one was ordered")
            busy = waits.waits_ms(play, during, "acked_at", DRAINED_S)
            cost_us = cpu.spent_us(before, cpu.seconds(parts), LOW)
        finally:
            fleet.process.kill()
        print(f"            p50 {waits.p50(busy):.0f} ms, idle {waits.p50(idle):.0f} ms", file=sys.stderr)
        return Figures(waits.p95(busy), waits.p95(idle), cost_us)


def _order(play: Play, names: list[str]) -> list[str]:
    return [waits.order_one(play, names[number], "high") for number in range(ORDERS)]
