"""From `POST /jobs` to the device's own ack, committed: the whole way and back, with simulated devices on MQTT.

Every device is the simulator's: it holds a connection of its own, receives, and acks over HTTP or MQTT. Beside it, in
the same run, how fast the same messages were sent.
"""

import time

from bench import cpu
from bench.case import Case, Figures
from bench.stage import POLL_S, TTL_S, Play, Stage
from tests.journey.fleet import Fleet

DEVICES = 2_000
CONNECTED_S = 120.0
GIVE_UP_S = 120.0


def case() -> Case:
    return Case(
        name="order_to_device",
        sentence=f"one job for {DEVICES} simulated devices on MQTT, until each has acked",
        unit="msg/s",
        limit="the same messages until sent",
        measure=_measure,
    )


def _measure(stage: Stage) -> Figures:
    with stage.play("fanout", "maintenance", "mqtt", SIMULATOR="0") as play:
        play.production.start("mqtt_acks")
        fleet = Fleet(play.production, "fleet", devices=DEVICES, sites=1, channels="mqtt:1")
        try:
            fleet.wait_until_connected(CONNECTED_S)
            parts, before = play.processes(), cpu.seconds(play.processes())
            sent_s, delivered_s = _order(play)
            cost_us = cpu.spent_us(before, cpu.seconds(parts), DEVICES)
            _check(fleet)
        finally:
            fleet.process.kill()
        return Figures(DEVICES / delivered_s, DEVICES / sent_s, cost_us)


def _order(play: Play) -> tuple[float, float]:
    """Seconds from the order until all are sent, and until all are delivered."""
    began = time.monotonic()
    job_id = play.api.order({"all": True}, priority="high", ttl_seconds=TTL_S)
    sent_s = 0.0
    while True:
        passed_s = time.monotonic() - began
        delivered = play.record.count(job_id, "delivered")
        if not sent_s and delivered + play.record.count(job_id, "sent") == DEVICES:
            sent_s = passed_s
        if delivered == DEVICES:
            return sent_s or passed_s, passed_s
        if passed_s > GIVE_UP_S:
            raise AssertionError(f"{delivered} of {DEVICES} messages were delivered within {GIVE_UP_S:.0f} s")
        time.sleep(POLL_S)


def _check(fleet: Fleet) -> None:
    """What the devices say they have is what the database says."""
    received = sum(counts["received"] for counts in fleet.counts().values())
    if received != DEVICES:
        raise AssertionError(f"the devices have {received} messages, the database {DEVICES}")
