"""How often one may call. Counted for all web processes together in the cache, in windows of one minute.

Each call counts against its credential; registration also against the caller's address, and so does whatever was
refused for want of proof. While the cache is away each process counts for itself and allows its share.
"""

import logging
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import caches
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from delivery.api.callers import Caller
from delivery.quiet import Quiet

log = logging.getLogger(__name__)

WINDOW_S = 60
LOCAL_SHARE = 4
"""While the cache is away, one process allows the limit divided by this."""
QUIET_S = 5.0
"""How long the cache is left alone after it failed, so that not every request waits for it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per minute; None: not limited. Callers without a credential are counted by address alone."""

    per_credential: int | None
    per_address: int | None


RATES = {
    "default": Rate(per_credential=600, per_address=None),
    "anonymous": Rate(per_credential=None, per_address=600),
    "ack": Rate(per_credential=6_000, per_address=60_000),
    "challenge": Rate(per_credential=10, per_address=60),
    "register": Rate(per_credential=60, per_address=600),
    "provision": Rate(per_credential=120, per_address=600),
    "sign_in": Rate(per_credential=20, per_address=120),
    "refused": Rate(per_credential=None, per_address=120),
}


class RateLimit(BaseThrottle):
    """Takes the view's `rate`."""

    wait_s: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        credential = request.auth.name if isinstance(request.auth, Caller) else None
        self.wait_s = spend(view.rate, address=self.get_ident(request), credential=credential)
        return self.wait_s is None

    def wait(self) -> float | None:
        return self.wait_s


def spend(rate: str, *, address: str | None, credential: str | None) -> float | None:
    """Count one call. None: it may go on; else the seconds until it may be tried again.

    Without an address or a credential nothing is counted against it.
    """
    limits = RATES[rate]
    keyed = [
        (f"{rate}:c:{credential}", limits.per_credential if credential else None),
        (f"{rate}:a:{address}", limits.per_address if address else None),
    ]
    return next((wait_s for key, limit in keyed if limit and (wait_s := _count(key, limit)) is not None), None)


_quiet = Quiet(QUIET_S)


def _count(key: str, limit: int) -> float | None:
    now_s = time.time()
    window, passed_s = divmod(now_s, WINDOW_S)
    key = f"rate:{key}:{int(window)}"
    limit = limit * settings.RATE_LIMIT_FACTOR
    if _quiet.may_ask():
        try:
            count = _increment("default", key)
        except Exception as error:  # noqa: BLE001  (each cache has errors of its own; all mean that it is away)
            _quiet.failed()
            log.warning("shared counters away", extra={"why": type(error).__name__})
        else:
            _quiet.worked()
            return _verdict(count, limit, passed_s)
    return _verdict(_increment("local", key), max(1, limit // LOCAL_SHARE), passed_s)


def _increment(cache: str, key: str) -> int:
    """`add` makes the counter with its end; `incr` is atomic in every process."""
    caches[cache].add(key, 0, timeout=2 * WINDOW_S)
    return int(caches[cache].incr(key))


def _verdict(count: int, limit: int, passed_s: float) -> float | None:
    return WINDOW_S - passed_s if count > limit else None
