"""The service worker among the static files: it may serve the portal, which is not below its own address."""

from typing import Any

WORKER = "portal/service-worker.js"
WORKER_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"
"""A worker has the policy of its own answer, not that of the page."""


def add_headers(headers: Any, path: str, url: str) -> None:
    """WhiteNoise asks this for each file, when it starts."""
    if url.endswith(WORKER):
        headers["Service-Worker-Allowed"] = "/portal/"
        headers["Content-Security-Policy"] = WORKER_POLICY
