"""How the speed changes: with a long log against an empty one, with two worker processes against one."""

import os

from bench import addresses
from bench.case import Case, Figures
from bench.job_to_provider import MESSAGES, job
from bench.message_ids import made_at
from bench.stage import Play, Stage

PROVIDER = "fcm"
LOGGED = 1_000_000


def log() -> Case:
    return Case(
        name="growth",
        sentence=f"{MESSAGES} messages from one job to {PROVIDER} after {LOGGED} others",
        unit="msg/s",
        limit="an empty log",
        measure=_measure_log,
    )


def processes() -> Case:
    return Case(
        name="two_processes",
        sentence=f"{MESSAGES} messages from one job to {PROVIDER} by two worker processes, on {os.cpu_count()} cores",
        unit="msg/s",
        peer=f"one process ({os.cpu_count()} cores for all)",
        limit="twice one process",
        measure=_measure_processes,
    )


def _measure_log(stage: Stage) -> Figures:
    with stage.play("fanout", "maintenance", PROVIDER) as play:
        addresses.give(play, PROVIDER, MESSAGES)
        play.warm_up(PROVIDER)
        empty, _ = job(play, PROVIDER)
        _fill(play)
        value, cost_us = job(play, PROVIDER)
        return Figures(value, empty, cost_us)


def _measure_processes(stage: Stage) -> Figures:
    one, _ = _rate(stage, 1)
    two, cost_us = _rate(stage, 2)
    return Figures(two, 2 * one, cost_us, peer_value=one)


def _rate(stage: Stage, count: int) -> tuple[float, dict[str, float]]:
    with stage.play("fanout", "maintenance", PROVIDER, SEND_PROCESSES=str(count)) as play:
        addresses.give(play, PROVIDER, MESSAGES)
        play.warm_up(PROVIDER)
        return job(play, PROVIDER)


def _fill(play: Play) -> None:
    """Delivered messages of the last ten days, older than what the rollups still look at."""
    play.record.execute(LOG, LOGGED // MESSAGES)
    play.record.execute("VACUUM ANALYZE push_notification_logs")


LOG = f"""
    INSERT INTO push_notification_logs (message_id, device_id, site_id, provider, credential, status, priority,
        created_at, sent_at, handoff_ms, acked_at, received_at, latency_ms, expires_at)
    SELECT {made_at("at")}, device_id, site_id, 'fcm', 'default', 'delivered', 2, at, at, 20, at, at, 100,
        at + interval '1 day'
    FROM delivery_device,
        generate_series(1, %s) AS round,
        LATERAL (SELECT now() - interval '2 days' - (round + random()) * interval '9 hours' AS at) AS moment
    WHERE platform = 'bench'
"""
