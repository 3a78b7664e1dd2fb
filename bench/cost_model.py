"""Whether costs add up: messages are sent while acks come in, at a pace, as after an order to a fleet.

What a message and an ack cost of the processor alone, measured first, says what both at once must cost. docs/scaling.md
reckons with these two figures.
"""

import threading
from pathlib import Path

from bench import acks, addresses, cpu
from bench.case import Case, Figures
from bench.job_to_provider import MESSAGES, job
from bench.stage import Play, Stage

PROVIDER = "fcm"
ACKS_PER_S = 1_000_000 / 300
"""At most: as many as a million devices give within five minutes. How many came is told."""


def case() -> Case:
    return Case(
        name="cost_model",
        sentence=f"processor time of {MESSAGES} messages that are sent while acks come in",
        unit="ms",
        limit="what both cost alone",
        less_is_better=True,
        measure=_measure,
    )


def _measure(stage: Stage) -> Figures:
    with stage.play("fanout", "maintenance", PROVIDER, RATE_LIMIT_FACTOR="10000") as play:
        addresses.give(play, PROVIDER, MESSAGES)
        play.warm_up(PROVIDER)
        sent_us = sum(job(play, PROVIDER)[1].values())
        ack_us = _ack_us(play)
        load = threading.Thread(target=acks.paced, args=(_url(play), _bodies(play), ACKS_PER_S))
        before, acked_before = _spent_s(play), _delivered(play)
        load.start()
        play.send_all(MESSAGES)
        load.join()
        spent_s, acked = _spent_s(play) - before, _delivered(play) - acked_before
    expected_s = (MESSAGES * sent_us + acked * ack_us) / 1e6
    return Figures(
        spent_s * 1000,
        expected_s * 1000,
        {"a message sent": sent_us, "an ack": ack_us},
        also={"acks": acked, "off_by_percent": abs(spent_s / expected_s - 1) * 100},
    )


def _ack_us(play: Play) -> float:
    """Microseconds of processor time for an ack at this pace."""
    bodies = _bodies(play)
    before, acked_before = _spent_s(play), _delivered(play)
    acks.paced(_url(play), bodies, ACKS_PER_S)
    return (_spent_s(play) - before) * 1e6 / (_delivered(play) - acked_before)


def _url(play: Play) -> str:
    return play.production.url + acks.PATHS[1]


def _bodies(play: Play) -> Path:
    return acks.write(play.folder / "bodies", acks.sent(play), 1)


def _spent_s(play: Play) -> float:
    return sum(cpu.seconds(play.processes()).values())


def _delivered(play: Play) -> int:
    return play.record.number("SELECT count(*) FROM push_notification_logs WHERE status = 'delivered'")
