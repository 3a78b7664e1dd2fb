"""Logs as JSON lines on standard error. Addresses and keys never reach a line unmasked."""

import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from homepot import metrics

MASKED_KEYS = re.compile(r"(address|token|api_key|bootstrap_key|secret|password|authorization|cookie)", re.IGNORECASE)
LONG_SECRET = re.compile(r"(?<=/messenger/devices/)(?!register$).+|[^/]{48,}")
CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]+(?=@)")
KEY_OR_ADDRESS = re.compile(r"\bhp[a-z]?_[\w-]{20,}|[\w%+-]{41,}", re.ASCII)
"""In running text: a key of ours, or a run of characters longer than any id of ours, as tokens are."""
SHORTEST_KEY = len("hp_") + 20


def mask(value: str) -> str:
    """Enough of an address to find it again, not enough to use it: `dGhpcy1p…(163)`."""
    return f"{value[:8]}…({len(value)})" if len(value) > 16 else "…"


def mask_path(path: str) -> str:
    """A request path in which whatever looks like an address is masked."""
    return LONG_SECRET.sub(lambda match: mask(match.group()), path)


def mask_text(text: str) -> str:
    """Text of any origin, an exception's for one, without what looks like a key or an address."""
    if len(text) < SHORTEST_KEY and "://" not in text:
        return text
    return KEY_OR_ADDRESS.sub(lambda match: mask(match.group()), CREDENTIALS_IN_URL.sub("…", text))


def _masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("request", None)  # Django's own lines carry the whole of it
    if event.get("logger") == "django.request":
        event["event"] = mask_path(str(event["event"]))
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(key, item) for item in value]
    if not isinstance(value, str) or key == "logger" or key.endswith("_id"):
        return value
    return mask(value) if _is_secret(key) else mask_text(value)


@lru_cache(maxsize=1_000)
def _is_secret(key: str) -> bool:
    return bool(MASKED_KEYS.search(key))


def configure(level: str) -> None:
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _masked,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "axes", "paho", "celery.beat", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for secretive in ("apprise", "urllib3", "requests_oauthlib", "oauthlib"):  # their lines hold whole addresses
        logging.getLogger(secretive).setLevel(logging.CRITICAL + 1)
        logging.getLogger(secretive).propagate = False
    for own in ("uvicorn", "uvicorn.error", "django.server"):
        logging.getLogger(own).handlers[:] = []
        logging.getLogger(own).propagate = True


log = structlog.get_logger("homepot.request")
IDS = ("message_id", "device_id", "job_id")


class RequestLog:
    """Each request is measured, and has one line: method, masked path, status, milliseconds. Probes have none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.monotonic()
        response = self.get_response(request)
        took_s = time.monotonic() - started
        metrics.observe(request, response, took_s)
        if request.path not in ("/livez", "/readyz", "/metrics"):
            log.info(
                "request",
                method=request.method,
                path=mask_path(request.path),
                **_named(request),
                status=response.status_code,
                took_ms=round(took_s * 1000),
            )
        return response


def _named(request: HttpRequest) -> dict[str, str]:
    """What the address names."""
    found = request.resolver_match.kwargs if request.resolver_match else {}
    return {name: str(found[name]) for name in IDS if name in found}
