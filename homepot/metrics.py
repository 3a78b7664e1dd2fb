"""What this process counts for Prometheus, together with its siblings.

Where `PROMETHEUS_MULTIPROC_DIR` names a folder, every process on this machine writes its counts there and any of them
answers for all; without it each answers for itself alone. What the record says: analytics/metrics.py.
"""

import os
from functools import cache

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Histogram(
    "homepot_http_request_seconds",
    "Requests by route, method and class of status",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)


def observe(request: HttpRequest, response: HttpResponseBase, took_s: float) -> None:
    """Count one request. Its labels come from our own routes and words alone, whatever the caller wrote."""
    route = request.resolver_match.route if request.resolver_match else "none"
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(route, method, f"{response.status_code // 100}xx").observe(took_s)


def observe_directly(route: str, status: int, took_s: float) -> None:
    """Count a POST that was answered without a view."""
    _posted(route, f"{status // 100}xx").observe(took_s)


@cache
def _posted(route: str, status: str) -> Histogram:
    return REQUESTS.labels(route, "POST", status)


def of_processes() -> bytes:
    """All that processes counted, as Prometheus reads it."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
