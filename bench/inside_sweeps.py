"""What the product does to a large log by itself: end what ran out of time, count an hour."""

import os
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from analytics import recount, rollups
from analytics.counting import HOUR
from analytics.models import RollupState
from bench import cpu
from bench.case import Figures
from delivery import sweeps
from delivery.models import PushNotificationLog

EXPIRING = 100_000
SAMPLE = 1_000
"""Rows that are written one by one; the rest would take as long each."""


def expire() -> Figures:
    first, last = _choose()
    try:
        before = _expired(first, last)
        _let_run_out(first, last)
        value_ms, cost_us = timed(sweeps.expire, EXPIRING)
        ended = _expired(first, last) - before
        if ended != EXPIRING:
            raise AssertionError(f"{ended} rows were expired, {EXPIRING} ran out of time")
        _let_run_out(first, last)
        limit_ms, _ = timed(lambda: _execute(BARE, first, last), EXPIRING)
        _let_run_out(first, last)
        peer_ms, _ = timed(lambda: _one_by_one(first, last), SAMPLE)
    finally:
        _execute(AS_IT_WAS)
    return Figures(value_ms, limit_ms, cost_us, peer_ms * EXPIRING / SAMPLE)


def rollup_hour() -> Figures:
    [hour] = _fetch("SELECT hour FROM analytics_hourlyrollup GROUP BY hour ORDER BY sum(ordered) DESC LIMIT 1")
    rows = PushNotificationLog.objects.filter(created_at__gte=hour, created_at__lt=hour + HOUR).count()
    RollupState.objects.filter(hour=hour).update(dirty=True)
    value_ms, cost_us = timed(lambda: rollups.count_hour(hour), rows)
    limit_ms, _ = timed(lambda: _execute(SCANNED, hour, hour + HOUR), rows)
    peer_ms, _ = timed(lambda: recount.of_hour(hour, {}), rows)
    return Figures(value_ms, limit_ms, cost_us, peer_ms)


def timed(work: Callable[[], object], rows: int) -> tuple[float, dict[str, float]]:
    """Milliseconds, and microseconds of processor time for each row in the database's process and in ours."""
    connection.ensure_connection()
    parts = {"postgres": connection.connection.info.backend_pid, "python": os.getpid()}
    before, began = cpu.seconds(parts), time.monotonic()
    work()
    took_ms = (time.monotonic() - began) * 1000
    return took_ms, cpu.spent_us(before, cpu.seconds(parts), rows)


def _choose() -> tuple[int, int]:
    """The first and the last of EXPIRING delivered rows, some days old; what they were is kept for `AS_IT_WAS`."""
    _execute(KEPT, EXPIRING)
    [first, last, count] = _fetch("SELECT min(id), max(id), count(*) FROM kept")
    if count < EXPIRING:
        raise AssertionError(f"the log holds only {count} delivered rows that are three days old")
    return first, last


def _let_run_out(first: int, last: int) -> None:
    _execute(RUN_OUT, first, last)


def _expired(first: int, last: int) -> int:
    return PushNotificationLog.objects.filter(pk__gte=first, pk__lte=last, status="expired").count()


def _one_by_one(first: int, last: int) -> None:
    for push in PushNotificationLog.objects.filter(pk__gte=first, pk__lte=last, status="sent").order_by("pk")[:SAMPLE]:
        push.status, push.expired_at = "expired", push.expires_at
        push.save()


def _execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)


def _fetch(sql: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


KEPT = """
    CREATE TEMP TABLE kept AS
    SELECT id, status, expired_at, expires_at FROM push_notification_logs
    WHERE status = 'delivered' AND created_at < now() - interval '3 days' ORDER BY created_at DESC LIMIT %s
"""
RUN_OUT = """
    UPDATE push_notification_logs AS m SET status = 'sent', expired_at = NULL, expires_at = now() - interval '1 minute'
    FROM kept WHERE m.id = kept.id AND m.id BETWEEN %s AND %s
"""
BARE = """
    UPDATE push_notification_logs SET status = 'expired', expired_at = expires_at
    WHERE id BETWEEN %s AND %s AND status = 'sent'
"""
AS_IT_WAS = """
    UPDATE push_notification_logs AS m SET status = kept.status, expired_at = kept.expired_at,
        expires_at = kept.expires_at
    FROM kept WHERE m.id = kept.id
"""
SCANNED = """
    SELECT site_id, provider, count(*), sum(latency_ms) FROM push_notification_logs
    WHERE created_at >= %s AND created_at < %s GROUP BY 1, 2
"""
