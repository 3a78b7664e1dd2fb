"""How often one may call. Counted for all web processes together in the cache, in windows of one minute.

Each call counts against its credential; registration also against the caller's address, and so does whatever was
refused for want of proof. While the cache is away each process counts for itself and allows its share.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from delivery.api.callers import Caller
from delivery.counters import counters
from delivery.quiet import Quiet

log = logging.getLogger(__name__)

WINDOW_S = 60
LOCAL_SHARE = 4
"""While the cache is away, one process allows the limit divided by this."""
QUIET_S = 5.0
"""How long the cache is left alone after it failed, so that not every request waits for it."""

_quiet = Quiet(QUIET_S)


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


@dataclass(frozen=True, slots=True)
class Call:
    """Whom a call is counted against; nobody where it is None."""

    address: str | None
    credential: str | None = None


def spend(rate: str, *, address: str | None, credential: str | None) -> float | None:
    """Count one call. None: it may go on; else the seconds until it may be tried again."""
    [wait_s] = spend_each(rate, [Call(address, credential)])
    return wait_s


def spend_each(rate: str, calls: Sequence[Call]) -> list[float | None]:
    """Count several calls in two round trips. Whose credential is used up is not counted against the address."""
    limits = RATES[rate]
    waits_s = _count(
        [f"{rate}:c:{call.credential}" if call.credential else None for call in calls], limits.per_credential
    )
    by_address = [
        f"{rate}:a:{call.address}" if call.address and wait_s is None else None
        for call, wait_s in zip(calls, waits_s, strict=True)
    ]
    later_s = _count(by_address, limits.per_address)
    return [one if one is not None else other for one, other in zip(waits_s, later_s, strict=True)]


def _count(keys: Sequence[str | None], limit: int | None) -> list[float | None]:
    """For each key the wait of the call that it stands for, in order."""
    calls = Counter(key for key in keys if key)
    if not limit or not calls:
        return [None] * len(keys)
    window, passed_s = divmod(time.time(), WINDOW_S)
    limit *= settings.RATE_LIMIT_FACTOR
    named = {key: f"rate:{key}:{int(window)}" for key in calls}
    counts = _shared({named[key]: count for key, count in calls.items()})
    if counts is None:
        limit = max(1, limit // LOCAL_SHARE)
        counts = {name: _local(name, calls[key]) for key, name in named.items()}
    before = {key: counts[name] - calls[key] for key, name in named.items()}
    waits_s: list[float | None] = []
    for key in keys:
        if key:
            before[key] += 1
        waits_s.append(WINDOW_S - passed_s if key and before[key] > limit else None)
    return waits_s


def _shared(counts: Mapping[str, int]) -> Mapping[str, int] | None:
    """What all web processes together have counted, these calls among it; None while the cache is away."""
    if not _quiet.may_ask():
        return None
    try:
        found = counters("default").count(counts, 2 * WINDOW_S)
    except Exception as error:  # noqa: BLE001  (each cache has errors of its own; all mean that it is away)
        _quiet.failed()
        log.warning("shared counters away", extra={"why": type(error).__name__})
        return None
    _quiet.worked()
    return found


def _local(key: str, calls: int) -> int:
    counts = counters("local").count({key: calls}, 2 * WINDOW_S)
    return counts[key]
