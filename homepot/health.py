"""For the machines that watch us: alive, and ready. Numbers for Prometheus: metrics.py, analytics/metrics.py."""

import logging

from celery import current_app
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

log = logging.getLogger(__name__)
BROKER_TIMEOUT_S = 1


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. Says nothing about what it stands on."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database and the broker answer and every migration is applied; else 503, each part by name."""
    database = _database()
    parts = {"database": database, "broker": _broker(), "migrations": database and _migrations()}
    status = 200 if all(parts.values()) else 503
    words = {name: "ok" if good else "not ready" for name, good in parts.items()}
    return JsonResponse({"status": "ok" if status == 200 else "not ready", **words}, status=status)


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
