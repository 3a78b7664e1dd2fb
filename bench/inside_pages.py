"""How long pages and endpoints take that show a large log: by Django's test client, with all middleware and templates.

The first time of each is that of a process that has just started; then what it remembers is of use, as long as the
hours are not counted again: so the present one is, before each request.
"""

import statistics
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory

from analytics import rollups
from analytics.models import RollupState
from bench.case import Figures
from bench.inside_sweeps import timed
from delivery import clocks
from delivery.admin.base import StockAdmin
from delivery.models import PushNotificationLog

TIMES = 5
LIST = "/admin/delivery/pushnotificationlog/"
SLOW_MS = 200.0


def pages() -> Figures:
    """Every page: the first time, and the median of the next ones. The slowest median counts."""
    client = _technician()
    found: dict[str, tuple[float, float]] = {}
    for name, path in _paths().items():
        first_ms, median_ms = _request_ms(client, path)
        found[name] = (median_ms, first_ms)
        slow = "  over 200 ms" if median_ms > SLOW_MS else ""
        print(
            f"  {name:<44} {median_ms:>8.1f} ms, the first time {first_ms:>8.1f} ms{slow}", file=sys.stderr, flush=True
        )
    return Figures(*max(found.values()), {})


def push_health_24h() -> Figures:
    client = _technician()
    client.get("/admin/")
    value_ms, cost_us = _median(lambda: _ok(client, "/admin/"), before=_count_present_hour)
    limit_ms, _ = _median(lambda: _execute(SUMS, timedelta(hours=24)))
    peer_ms, _ = timed(lambda: _execute(RAW, timedelta(hours=24)), 1)
    return Figures(value_ms, limit_ms, cost_us, peer_ms)


def admin_list() -> Figures:
    client = _technician()
    client.get(LIST)
    value_ms, cost_us = _median(lambda: _ok(client, LIST))
    limit_ms, _ = _median(lambda: _execute(NEWEST))
    request = RequestFactory().get(LIST)
    request.user = User.objects.get(username="bench")
    stock = Stock(PushNotificationLog, admin.site)
    peer_ms, _ = _median(lambda: _drawn(stock.changelist_view(request)))
    return Figures(value_ms, limit_ms, cost_us, peer_ms)


def _drawn(page: Any) -> None:
    page.render()


class Stock(StockAdmin[PushNotificationLog]):
    """What one gets who registers the model: it counts all rows, twice, and orders by any column."""

    list_display = ("message_id", "status", "device_id", "site_id", "provider", "created_at", "latency_ms")
    list_filter = ("status", "provider", "priority")


def _technician() -> Client:
    person, _ = User.objects.get_or_create(username="bench", defaults={"is_staff": True, "is_superuser": True})
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _paths() -> dict[str, str]:
    """By name."""
    now = clocks.db_now()
    push = PushNotificationLog.objects.filter(status="delivered").order_by("-pk")[1_000]
    middle = PushNotificationLog.objects.order_by("-pk").values_list("pk", flat=True)[0] // 2
    day = {"from": f"{now - timedelta(hours=24):%Y-%m-%dT%H:%MZ}", "to": f"{now:%Y-%m-%dT%H:%MZ}"}
    hour = {"from": f"{now - timedelta(hours=3):%Y-%m-%dT%H:00Z}", "to": f"{now - timedelta(hours=2):%Y-%m-%dT%H:00Z}"}
    site, device = push.site_id or "", push.device_id
    tried = {"tried_from": day["from"], "tried_to": day["to"], "refused": "fcm/retry/UNAVAILABLE"}
    lists: dict[str, dict[str, Any]] = {
        "all": {},
        "behind the middle": {"before": middle},
        "of a site": {"site": site},
        "of a site, 24 h": {**day, "site": site},
        "of a site and provider, an hour": {**hour, "site": site, "under": push.provider},
        "missed, 24 h": {**day, "state": "missed"},
        "missed of a site, 24 h": {**day, "state": "missed", "site": site},
        "not in time by a verdict, 24 h": {**day, "state": "not_in_time", "verdict__exact": "uplink_down"},
        "by a verdict, ever": {"verdict__exact": "uplink_down"},
        "delivered under a provider, 24 h": {**day, "state": "delivered", "under": "fcm"},
        "fallback, 24 h": {**day, "state": "fallback"},
        "opened, of a site, 24 h": {**day, "state": "opened", "site": site},
        "failed, ever": {"state": "failed"},
        "of a device": {"q": device},
        "refused by a provider, 24 h": tried,
    }
    api = ("push", "heatmap", "providers", "stats?days=7", "stats?days=30", "registrations?days=30", "addresses",
           "alerts", "zombies", f"push?site={site}")  # fmt: skip
    tables = ("heatmap", "providers", "fastest", "reasons", "alerts", "zombies")
    return {
        "Push Health": "/admin/",
        "Push Health, its panels again": "/admin/?part=panels",
        "Push Health, second page of sites": "/admin/?page=2",
        "Push Health, one provider": "/admin/?provider=fcm",
        "Push Health, 7 days": "/admin/?hours=168",
        "site": f"/admin/sites/{site}/",
        "site, 7 days": f"/admin/sites/{site}/?hours=168",
        "provider": "/admin/providers/fcm/",
        "zombies": "/admin/analytics/zombie/?standing=1",
        **{f"messages {name}": f"{LIST}?{urlencode(query)}" for name, query in lists.items()},
        "one message": f"{LIST}{push.pk}/change/",
        "jobs": "/admin/delivery/job/",
        "devices": "/admin/delivery/device/",
        **{f"API {name}": f"/api/v1/analytics/{name}" for name in api},
        **{f"{name}.csv, first lines": f"/admin/tables/{name}.csv" for name in tables},
        "API push as CSV, first lines": "/api/v1/analytics/push?format=csv",
        "API heatmap as CSV, first lines": "/api/v1/analytics/heatmap?format=csv",
    }


def _request_ms(client: Client, path: str) -> tuple[float, float]:
    """The first time, and the median of the next TIMES."""
    first_ms, _ = timed(lambda: _ok(client, path), 1)
    median_ms, _ = _median(lambda: _ok(client, path), before=_count_present_hour)
    return first_ms, median_ms


def _ok(client: Client, path: str) -> None:
    """A file that is written while it is sent: up to its first lines."""
    response: Any = client.get(path)
    if response.status_code != 200:
        raise AssertionError(f"{path}: {response.status_code}")
    if response.streaming:
        parts = iter(response.streaming_content)
        next(parts), next(parts, None)
        response.close()


def _median(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> tuple[float, dict[str, float]]:
    runs = []
    for _ in range(TIMES):
        before()
        runs.append(timed(work, 1))
    runs.sort(key=lambda run: run[0])
    return statistics.median(took_ms for took_ms, _ in runs), runs[TIMES // 2][1]


def _count_present_hour() -> None:
    """As the rollup task does every few seconds."""
    hour = rollups.hour_of(clocks.db_now())
    RollupState.objects.update_or_create(hour=hour, defaults={"dirty": True, "looked_at": clocks.db_now()})
    rollups.count_hour(hour)


def _execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        cursor.fetchall()


SUMS = """
    SELECT site_id, provider, sum(ordered), sum(delivered), sum(late), sum(failed), sum(expired), sum(handed_over),
           sum(attempted), sum(accepted)
    FROM analytics_hourlyrollup WHERE hour >= now() - %s GROUP BY 1, 2
"""
RAW = """
    SELECT site_id, provider, count(*), count(*) FILTER (WHERE status = 'delivered'),
           count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'expired'),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms)
    FROM push_notification_logs WHERE created_at >= now() - %s GROUP BY 1, 2, date_trunc('hour', created_at)
"""
NEWEST = "SELECT * FROM push_notification_logs ORDER BY id DESC LIMIT 51"
