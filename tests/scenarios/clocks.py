"""Tills whose clocks are off: nothing is judged, and the latency of their site stays what it really was.

The fleet knows by how much each clock is off, so that the truth can be told from the raw `received_at`.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.scenarios.stage import Stage, Till

OFF_S = 180.0
DRIFT_PPM = 20.0
MOST_MOVED = 0.02
ALL_OFF, ONE_OFF = 7, 8
"""Sites: each till's clock is off by up to OFF_S either way; one till's clock is, by all of it."""


def script(all_off: Sequence[str], one_off: str) -> dict[str, Any]:
    """The clocks, for the fleet's troubles."""
    rng = Random(1)
    off = {each: {"ahead_s": rng.uniform(-OFF_S, OFF_S), "drift_ppm": DRIFT_PPM} for each in all_off}
    return off | {one_off: {"ahead_s": OFF_S, "drift_ppm": 0.0}}


def p95_moved(stage: Stage, job_ids: Sequence[str], tills: Sequence[Till], clocks: Mapping[str, Any]) -> dict[str, Any]:
    """The site's p95 as the product measured it, beside that with the true times of those whose clocks are off."""
    rows = stage.rig.record.rows(
        """SELECT device_id, latency_ms, sent_at, received_at, clock_skewed FROM push_notification_logs
           WHERE job_id = ANY(%s) AND device_id = ANY(%s) AND status = 'delivered'""",
        list(job_ids),
        [till.device_id for till in tills],
    )
    measured = [row["latency_ms"] for row in rows if not row["clock_skewed"]]
    true_ms = [
        _true_ms(row, clocks[row["device_id"]], stage.began_at) if row["device_id"] in clocks else row["latency_ms"]
        for row in rows
    ]
    said, truth = _p95(measured), _p95([ms for ms in true_ms if ms is not None])
    return {
        "messages": len(rows),
        "skewed": len(rows) - len(measured),
        "p95_ms": said,
        "true_p95_ms": round(truth),
        "moved": round(abs(said - truth) / truth, 4),
    }


def _true_ms(row: Mapping[str, Any], clock: Mapping[str, float], began_at: datetime) -> float:
    drift_s = (row["sent_at"] - began_at).total_seconds() * clock["drift_ppm"] / 1e6
    arrived_at = row["received_at"] - timedelta(seconds=clock["ahead_s"] + drift_s)
    latency: timedelta = arrived_at - row["sent_at"]
    return latency.total_seconds() * 1000


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]
