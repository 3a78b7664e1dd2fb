"""How long single messages take, ordered one at a time over HTTP."""

import statistics
import time
from collections.abc import Sequence

from bench.stage import TTL_S, Play
from tests.journey.api import wait_until

APART_S = 0.05


def order_one(play: Play, device_id: str, priority: str) -> str:
    """The job; a moment later the next may be ordered."""
    job_id = play.api.order({"devices": [device_id]}, priority=priority, ttl_seconds=TTL_S)
    time.sleep(APART_S)
    return job_id


def waits_ms(play: Play, job_ids: Sequence[str], until: str, timeout_s: float = 120.0) -> list[float]:
    """From when each was accepted; `until` is SQL for a moment of its message, null before it came."""
    sql = f"""SELECT date_part('epoch', {until} - created_at) * 1000 AS ms FROM push_notification_logs
              WHERE job_id = ANY(%s) AND {until} IS NOT NULL"""
    ids = list(job_ids)
    wait_until(lambda: len(play.record.rows(sql, ids)) == len(ids), "end of each wait", timeout_s)
    return [float(row["ms"]) for row in play.record.rows(sql, ids)]


def p50(waits: Sequence[float]) -> float:
    return statistics.median(waits)


def p95(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=20, method="inclusive")[-1]
