"""For the machines that watch us: alive, and ready. Numbers for Prometheus: metrics.py, analytics/metrics.py."""

import logging

from celery import current_app
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import Gauge

from delivery import clocks, watchdog

WAITS = Gauge(
    "homepot_oldest_due_seconds",
    "Since when the first row waits that could be sent now",
    ["queue"],
    multiprocess_mode="mostrecent",
)
SWEEP_AGE = Gauge("homepot_sweep_age_seconds", "How long ago a sweep ran", ["sweep"], multiprocess_mode="mostrecent")
log = logging.getLogger(__name__)
BROKER_TIMEOUT_S = 1
OK, NOT_READY = "ok", "not ready"


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. Says nothing about what it stands on."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database and the broker answer, every migration is applied and the workers take what is due; else
    503, each part by name."""
    database = _database()
    migrations = database and _migrations()
    parts = {
        "database": _word(database),
        "broker": _word(_broker()),
        "migrations": _word(migrations),
        "consuming": _consuming() if migrations else NOT_READY,
        "sweeps": _word(migrations and not watchdog.sweeps_rest(clocks.db_now())),
    }
    good = all(word == OK for word in parts.values())
    return JsonResponse({"status": _word(good), **parts}, status=200 if good else 503)


def _word(good: bool) -> str:
    return OK if good else NOT_READY


def _consuming() -> str:
    """`ok`, or the queues from which nobody takes what is due, and for how long."""
    stalled = watchdog.stalled(clocks.db_now())
    found = ", ".join(f"{queue} waits for {wait_s:.0f} s" for queue, wait_s in sorted(stalled.items()))
    return f"{NOT_READY}: {found}" if found else OK


def measure() -> None:
    WAITS.clear()
    SWEEP_AGE.clear()
    try:
        now = clocks.db_now()
        waits, sweeps = watchdog.waits_s(now), watchdog.sweeps_s(now)
    except DatabaseError as error:
        log.warning("database away", extra={"why": type(error).__name__})
        return
    for queue, wait_s in waits.items():
        WAITS.labels(queue).set(wait_s)
    for sweep, age_s in sweeps.items():
        SWEEP_AGE.labels(sweep).set(age_s)


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("database away", extra={"why": type(error).__name__})
        return False
    return True


def _migrations() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _broker() -> bool:
    try:
        with current_app.connection_for_read(connect_timeout=BROKER_TIMEOUT_S) as broker:
            broker.ensure_connection(max_retries=1, timeout=BROKER_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  (each transport has errors of its own; all mean the same here)
        log.warning("broker away", extra={"why": type(error).__name__})
        return False
    return True
