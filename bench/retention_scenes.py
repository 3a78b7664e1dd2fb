"""The scenes of bench/retention.py: each prints what it measured."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psutil
from django.db import connection, connections, transaction

from bench import retention_sql as sql
from delivery import pruning
from delivery.models import PushNotificationLog, Receipt
from delivery.models.push_log_rows import Arrived, Sent
from delivery.models.receipt import NewReceipt

DAY = timedelta(days=1)
PER_JOB = 2_000
BATCH = 200
ROUNDS = 3
TABLES = ("push_notification_logs", "push_delivery_logs", "delivery_deliveryattempt")
UNHURRIED, AT_ONCE = pruning.Pace(), pruning.Pace(pause_s=0.0)


@dataclass(frozen=True, slots=True)
class Size:
    days: int
    rows: int
    """Messages a day."""
    live: int


@dataclass(frozen=True, slots=True)
class Lived:
    """What the life of a message took: how many in a second, processor time of PostgreSQL, the slowest batch."""

    per_s: float
    postgres_us: float
    slowest_ms: float

    def __str__(self) -> str:
        cost = f"{self.postgres_us:4.0f} us of PostgreSQL, slowest batch {self.slowest_ms:,.0f} ms"
        return f"{self.per_s:7,.0f} messages/s, {cost}"


def play(size: Size) -> None:
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - size.days * DAY
    copy_database("homepot", "parted")
    run(sql.DEVICES)
    fill(first, size.days, size)
    copy_database("homepot", "often")
    say("plain", f"{size.days} days of {size.rows:,} messages, {sizes()}")
    plain(first, size)
    rounds("vacuum as it comes", first + 3 * DAY, size)
    use("often")
    for table in TABLES:
        run(sql.VACUUM_OFTEN.replace("@TABLE@", table))
    rounds("vacuum often", first, size)
    use("parted")
    parted(first, size)


# --- One table
def plain(first: datetime, size: Size) -> None:
    live(size.live // 4)
    say("plain", f"a message's life: {live(size.live)}")
    say("plain", f"a day in batches of {UNHURRIED.batch}: {removal(lambda: delete_day(first, UNHURRIED))}")
    say("plain", f"a day in batches, no pause: {removal(lambda: delete_day(first + DAY, AT_ONCE))}")
    removing = threading.Thread(target=delete_beside, args=[first + 2 * DAY])
    removing.start()
    say("plain", f"a message's life beside that:  {live(size.live, while_=removing.is_alive)}")
    removing.join()
    say("plain", f"a message's life afterwards:   {live(size.live)}")


def delete_day(first: datetime, pace: pruning.Pace) -> int:
    return sum(gone["messages"] for gone in pruning.delete_messages(first, first + DAY, pace))


def delete_beside(first: datetime) -> None:
    delete_day(first, UNHURRIED)
    connections.close_all()


def rounds(name: str, first: datetime, size: Size) -> None:
    """A third of the days goes and comes anew, three times, day by day as it does in a month."""
    run("VACUUM ANALYZE push_notification_logs")
    say(name, f"before: {sizes()}")
    end = first + size.days * DAY
    for number in range(ROUNDS):
        for _ in range(size.days // ROUNDS):
            delete_day(first, AT_ONCE)
            fill(end, 1, size)
            first, end = first + DAY, end + DAY
        say(name, f"after round {number + 1}: {sizes()}")


# --- A partition for each day
def parted(first: datetime, size: Size) -> None:
    indexes = [definition for (definition,) in run(sql.PLAIN_INDEXES)]
    receipts, attempts = (run(sql.REFERRING, [table])[0][0] for table in TABLES[1:])
    run(sql.PARTED.replace("@RECEIPTS@", receipts).replace("@ATTEMPTS@", attempts))
    for definition in indexes:
        run(definition)
    for number in range(size.days + 2):
        day = first + number * DAY
        values = f"FROM ('{day}') TO ('{day + DAY}')"
        run(f"CREATE TABLE log_{number} PARTITION OF push_notification_logs FOR VALUES {values}")
    run(sql.DEVICES)
    fill(first, size.days, size)
    live(size.live // 4)
    say("parted", f"a message's life: {live(size.live)}")
    with day_in_every_where():
        say("parted", f"the same, the day in every WHERE: {live(size.live)}")
    say("parted", f"a day's partition, dropped: {removal(drop_first)}")


def drop_first() -> int:
    run("DROP TABLE log_0")
    return 0


@contextmanager
def day_in_every_where() -> Iterator[None]:
    """The product's own statements, told that all messages in question were ordered since yesterday."""
    since = f"created_at >= '{datetime.now(UTC) - DAY}'"
    told = {
        "WHERE status = 'pending' AND provider": f"WHERE {since} AND status = 'pending' AND provider",
        "WHERE id IN (SELECT id FROM due)": f"WHERE {since} AND id IN (SELECT id FROM due)",
        "WHERE m.id = r.id": f"WHERE m.{since} AND m.id = r.id",
        "m.message_id = r.message_id": f"m.{since} AND m.message_id = r.message_id",
    }

    def tell(execute: Any, statement: str, params: Any, many: bool, context: Any) -> Any:
        for before, after in told.items():
            statement = statement.replace(before, after)
        return execute(statement, params, many, context)

    with connection.execute_wrapper(tell):
        yield


# --- What is measured
def live(count: int, while_: Callable[[], bool] = lambda: True) -> Lived:
    """`count` messages through the product's verbs: claimed, sent, acked; fewer where `while_` ends first."""
    jobs = max(1, count // PER_JOB)
    made = run(sql.JOBS, [datetime.now(UTC), 0.000001, jobs])
    run(sql.PENDING, [[job_id for job_id, _ in made]])
    began, cpu_before_s, done, slowest_s = time.monotonic(), postgres_s(), 0, 0.0
    while done < jobs * PER_JOB and while_():
        batch_began = time.monotonic()
        done += one_batch()
        slowest_s = max(slowest_s, time.monotonic() - batch_began)
    took_s, cpu_s = time.monotonic() - began, postgres_s() - cpu_before_s
    run("UPDATE push_notification_logs SET status = 'cancelled' WHERE status = 'pending'")
    return Lived(done / took_s, cpu_s / max(done, 1) * 1e6, slowest_s * 1000)


def one_batch() -> int:
    token, now = uuid4(), datetime.now(UTC)
    with transaction.atomic():
        rows = PushNotificationLog.objects.claim(
            "fcm", "default", [2], limit=BATCH, token=token, now=now, until=now + timedelta(minutes=1)
        )
    with transaction.atomic():
        PushNotificationLog.objects.mark_sent(
            [Sent(row.id, now, "projects/bench/messages/1", "", handoff_ms=80) for row in rows], token=token
        )
    with transaction.atomic():
        arrived = [Arrived(row.message_id, row.device_id, now, False, None, None) for row in rows]
        PushNotificationLog.objects.mark_delivered(arrived, now=now)
        Receipt.objects.add([NewReceipt(row.message_id, row.device_id, "delivered", {}) for row in rows], now=now)
    return len(rows)


def removal(remove: Callable[[], int]) -> str:
    """`remove` says how many messages it removed, 0 where it did not count them."""
    wal, began, cpu_before_s = run("SELECT pg_current_wal_insert_lsn()")[0][0], time.monotonic(), postgres_s()
    rows = remove()
    took_s, cpu_s = time.monotonic() - began, postgres_s() - cpu_before_s
    [(wal_bytes,)] = run("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [wal])
    each = f", {rows / took_s:,.0f} messages/s, {cpu_s / rows * 1e6:.0f} us of PostgreSQL" if rows else ""
    return f"{took_s:.2f} s, {int(wal_bytes) / 1e6:.1f} MB of WAL{each}"


def postgres_s() -> float:
    """Processor time of the server's process behind this connection."""
    times = psutil.Process(run("SELECT pg_backend_pid()")[0][0]).cpu_times()
    return float(times.user + times.system)


def sizes() -> str:
    [found] = run(sql.SIZES)
    table, indexes, children = (int(size) / 1e6 for size in found)
    return f"table {table:,.0f} MB, its indexes {indexes:,.0f} MB, receipts and attempts {children:,.0f} MB"


# --- Databases and rows
def fill(first: datetime, days: int, size: Size) -> None:
    jobs = size.rows // PER_JOB
    for number in range(days):
        day = first + number * DAY
        run(sql.JOBS, [day, DAY.total_seconds() / jobs, jobs])
        run(sql.ENDED, [day, day + DAY])
    run("ANALYZE")


def copy_database(source: str, name: str) -> None:
    use("postgres")
    run(f"CREATE DATABASE {name} TEMPLATE {source}")
    use(source)


def use(database: str) -> None:
    connections.close_all()
    connection.settings_dict["NAME"] = database


def run(statement: str, params: Sequence[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def say(name: str, text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {name:<20} {text}", flush=True)
