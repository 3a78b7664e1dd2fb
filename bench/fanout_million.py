"""One job for a million devices, written by the product's own worker, its memory flat meanwhile.

Its limit is one INSERT ... SELECT of as many rows into a table with the log's columns and indexes; its peer is what one
would write with the ORM, on a sample. BENCH_DEVICES makes it shorter.
"""

import os
import time
from pathlib import Path

import psycopg

from bench import cpu
from bench.case import Case, Figures
from bench.memory import Memory
from bench.stage import POLL_S, TTL_S, Play, Stage
from tests.journey.production import PYTHON
from tests.processes import ROOT, spawn

DEVICES = int(os.environ.get("BENCH_DEVICES", "1_000_000"))
BY_ORM = min(50_000, DEVICES)
STEP = max(1, DEVICES // 10)
GIVE_UP_S = 900.0


def case() -> Case:
    return Case(
        name="fanout_million",
        sentence=f"one job for {DEVICES} devices, until each has its row; the worker's memory flat",
        unit="rows/s",
        peer="bulk_create of the ORM",
        limit="one INSERT ... SELECT",
        measure=_measure,
    )


def _measure(stage: Stage) -> Figures:
    with stage.play("fanout") as play:
        play.devices("fcm", DEVICES, "'token-' || n")
        parts, before = play.processes(), cpu.seconds(play.processes())
        value = _fan_out(play)
        cost_us = cpu.spent_us(before, cpu.seconds(parts), DEVICES)
        return Figures(value, _bare(play), cost_us, peer_value=_by_orm(play))


def _fan_out(play: Play) -> float:
    """Rows a second from the order on; an error where a device has none, or the worker's memory is not flat."""
    memory = Memory(play.production.processes["fanout"].pid, step=STEP, flat_from=STEP)
    job_id = play.api.order({"all": True}, priority="low", ttl_seconds=TTL_S)
    first = play.record.number("SELECT min(id) FROM delivery_device WHERE platform = 'bench'")
    gives_up_at = time.monotonic() + GIVE_UP_S
    while not play.record.rows(FINISHED, job_id):
        memory.note(play.record.number("SELECT cursor FROM delivery_job WHERE job_id = %s", job_id) - first + 1)
        assert time.monotonic() < gives_up_at, f"not fanned out within {GIVE_UP_S:.0f} s"
        time.sleep(POLL_S)
    memory.note(DEVICES)
    written = play.record.count(job_id, "pending")
    if written < DEVICES or play.record.rows(WITHOUT, job_id):
        raise AssertionError(f"{written} of {DEVICES} devices have a row")
    memory.check()
    [times] = play.record.rows("SELECT fanned_out_at - created_at AS took FROM delivery_job WHERE job_id = %s", job_id)
    return DEVICES / float(times["took"].total_seconds())


def _bare(play: Play) -> float:
    with psycopg.connect(play.production.database_url, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE bare (LIKE push_notification_logs INCLUDING ALL)")
        began = time.monotonic()
        connection.execute(BARE)
        return DEVICES / (time.monotonic() - began)


def _by_orm(play: Play) -> float:
    command: list[str | Path] = [PYTHON, "-m", "bench.orm_rows", str(BY_ORM)]
    said = spawn("orm-rows", command, folder=play.folder, cwd=ROOT, env=play.production.env).finish(GIVE_UP_S)
    return BY_ORM / float(said.split()[-1])


FINISHED = "SELECT 1 FROM delivery_job WHERE job_id = %s AND fanned_out_at IS NOT NULL"
WITHOUT = """
    SELECT device_id FROM delivery_device AS d WHERE platform = 'bench' AND NOT EXISTS (
        SELECT 1 FROM push_notification_logs AS m WHERE m.job_id = %s AND m.device_id = d.device_id) LIMIT 1
"""
BARE = b"""
    INSERT INTO bare (message_id, device_id, site_id, job_id, provider, credential, channel_id, status, priority,
        created_at, next_attempt_at, expires_at)
    SELECT gen_random_uuid(), d.device_id, d.site_id, 'job', c.provider, c.credential, c.id, 'pending', 3, now(), now(),
        now() + interval '1 day'
    FROM delivery_device AS d JOIN delivery_channel AS c ON c.device_id = d.id WHERE d.platform = 'bench' ORDER BY d.id
"""
