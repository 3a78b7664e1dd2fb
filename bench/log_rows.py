"""Write a log of many messages, as a fleet of 20,000 devices at 200 sites leaves it behind in 30 days.

    python -m bench.log_rows --rows 10000000 --url postgres://...

Into an empty database (its tables are made first) of a role that is a superuser, because no row is checked against
those that it refers to. The rows are made by the server itself and stay where they are; the hourly numbers are then
counted from them by the product. One hour, a day and a half ago, holds a quarter of a million.
"""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import psycopg
from django.core.management import call_command
from django.db import connections

from bench import log_rows_sql as sql

DEVICES = 20_000
DAYS = 30
BUSY_ROWS = 250_000
BUSY_AGE_H = 36
JOBS_AT_ONCE = 100
HOURS_TOLD = 24
OPEN_FOR = timedelta(hours=2)
TABLES = ["push_notification_logs", "push_delivery_logs", "delivery_deliveryattempt"]
HOUR = timedelta(hours=1)

Say = Callable[[str], None]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.log_rows", description=__doc__)
    arguments.add_argument("--rows", type=int, default=10_000_000, metavar="N", help="default 10,000,000")
    arguments.add_argument("--url", required=True, help="of an empty PostgreSQL database")
    given = arguments.parse_args()
    make(given.url, given.rows, _say_with_time)
    return 0


def make(url: str, rows: int, say: Say) -> None:
    """Once in a process: Django takes one database."""
    _migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM push_notification_logs LIMIT 1").fetchone():
            raise SystemExit("its log is not empty")
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET work_mem = '256MB'")
        connection.execute("SET maintenance_work_mem = '1GB'")
        _write(connection, rows // sql.PER_JOB, say)
    _count(say)


def busy_hour(now: datetime) -> datetime:
    """The hour that holds BUSY_ROWS, or a quarter of a smaller log."""
    return now.replace(minute=0, second=0, microsecond=0) - BUSY_AGE_H * HOUR


def moments(jobs: int, now: datetime) -> list[datetime]:
    """When each job is ordered: evenly over DAYS up to a minute ago, and some more within the busy hour."""
    busy = min(BUSY_ROWS // sql.PER_JOB, jobs // 4)
    rush = busy_hour(now)
    even = [now - timedelta(days=DAYS) * (1 - number / (jobs - busy)) for number in range(jobs - busy)]
    rushed = [rush + HOUR * (number + 0.5) / max(1, busy) for number in range(busy)]
    return sorted([*(moment - timedelta(minutes=1) for moment in even), *rushed])


def _migrate(url: str) -> None:
    os.environ.update(DATABASE_URL=url, DJANGO_SETTINGS_MODULE="homepot.settings", DEBUG="0", STATEMENT_LIMIT_S="0")
    os.environ.setdefault("SECRET_KEY", "only-for-measuring-" + "x" * 40)
    django.setup()
    call_command("migrate", verbosity=0)


def _write(connection: psycopg.Connection[Any], jobs: int, say: Say) -> None:
    now = datetime.now(UTC)
    connection.execute((sql.FLEET % {"devices": DEVICES, "days": DAYS}).encode())
    connection.execute(sql.JOBS.encode(), [list(range(jobs)), moments(jobs, now)])
    connection.execute(sql.PICKED.encode())
    connection.execute(sql.ZOMBIES.encode())
    connection.execute(b"ANALYZE delivery_site, delivery_device, delivery_channel, delivery_job, picked")
    indexes = connection.execute(sql.INDEXES.encode(), [TABLES]).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"'.encode())
    for first, end in _chunks(jobs):
        _write_jobs(connection, first * sql.PER_JOB, end * sql.PER_JOB, now - OPEN_FOR)
        say(f"{end * sql.PER_JOB:,} of {jobs * sql.PER_JOB:,} messages")
    for name, definition in indexes:
        connection.execute(definition.encode())
        say(f"index {name}")
    for table in (*TABLES, "delivery_connectivity", "analytics_zombie"):
        connection.execute(f"VACUUM ANALYZE {table}".encode())


def _chunks(jobs: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + JOBS_AT_ONCE, jobs)) for first in range(0, jobs, JOBS_AT_ONCE))


def _write_jobs(connection: psycopg.Connection[Any], first: int, end: int, open_since: datetime) -> None:
    [(last,)] = connection.execute("SELECT COALESCE(max(id), 0) FROM push_notification_logs").fetchall()
    named = {"first": first, "end": end, "open_since": open_since, "devices": DEVICES}
    connection.execute(sql.MESSAGES.encode(), named)
    connection.execute(sql.RECEIPTS.encode(), [last])
    connection.execute(sql.ATTEMPTS.encode(), [last])
    connection.execute(sql.PROGRESS.encode(), [last])


def _count(say: Say) -> None:
    """Every hour, by the product, whose models can be read only now that it knows its database."""
    rollups = importlib.import_module("analytics.rollups")
    marked = rollups.mark_changed(datetime.now(UTC))
    for number, hour in enumerate(rollups.RollupState.objects.to_count().values_list("hour", flat=True), 1):
        rollups.count_hour(hour)
        if number % HOURS_TOLD == 0:
            say(f"{number} of {marked} hours counted")
    with connections["default"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE analytics_hourlyrollup")
        cursor.execute("VACUUM ANALYZE analytics_rollupstate")


def _say_with_time(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
