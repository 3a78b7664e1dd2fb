"""How far percentiles from histograms are from exact ones, over a week of the large log."""

import sys
from datetime import datetime, timedelta

from django.db import connection

from analytics import health, rollups
from bench.case import Figures
from delivery import clocks

SHARES = (0.5, 0.95, 0.99)
PROMISED = 2.0
"""Percent."""
WEEK = timedelta(days=7)


def percentiles() -> Figures:
    """The worst error in percent: by provider and of all together. Each is printed."""
    worst, end = 0.0, rollups.hour_of(clocks.db_now())
    found = {name: numbers for (name,), numbers in health.timed(health.between(end - WEEK, end), "provider").items()}
    found["all"] = health.merged(found.values())
    for name, numbers in sorted(found.items()):
        exact_ms = _exact_ms(name, end)
        for share, exact in zip(SHARES, exact_ms, strict=True):
            estimate = numbers.percentile_ms(share) or 0.0
            error = 100 * abs(estimate - exact) / exact if exact else 0.0
            worst = max(worst, error)
            print(f"  {name:<10} p{share * 100:.0f} {exact:>8,} ms exact, {estimate:>10,.1f} ms, {error:.2f} %",
                  file=sys.stderr)  # fmt: skip
    if worst > PROMISED:
        raise AssertionError(f"a percentile is {worst:.2f} % off")
    return Figures(worst, PROMISED, {})


def _exact_ms(provider: str, end: datetime) -> list[int]:
    """From every row that is measured: in time, by a clock that made sense."""
    with connection.cursor() as cursor:
        cursor.execute(EXACT, [list(SHARES), end - WEEK, end, provider, provider])
        [found] = cursor.fetchone()
    return list(found or [0] * len(SHARES))


EXACT = """
    SELECT percentile_disc(%s::float8[]) WITHIN GROUP (ORDER BY latency_ms) FROM push_notification_logs
    WHERE created_at >= %s AND created_at < %s AND status = 'delivered' AND expired_at IS NULL
      AND latency_ms IS NOT NULL AND sent_at IS NOT NULL
      AND (%s = 'all' OR CASE WHEN accepted_by = '' THEN provider ELSE accepted_by END = %s)
"""
