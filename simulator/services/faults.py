"""Fault scripts: what a service does wrong, to whom, how often and for how long. Changed while it runs."""

import itertools
import random
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from simulator.services.wire import Answer


class Do(StrEnum):
    """What a fault does. The first fault of the script that meets a request decides about it."""

    ANSWER = "answer"
    """Refuse with `status` and `reason` in the service's own words, with `retry_after` when it is given."""
    DELAY = "delay"
    """Take the request as usual, after `delay_s`."""
    HANG = "hang"
    """Never answer; nothing is taken."""
    DRIP = "drip"
    """Take the message, then answer one byte each `delay_s`."""
    RESET_BEFORE = "reset-before"
    """Cut the connection without having taken the message."""
    RESET_AFTER = "reset-after"
    """Take the message, then cut the connection instead of answering."""
    GARBAGE = "garbage"
    """Take nothing and answer 200 with `body`: html, nothing, huge (99 MB), gzip-bomb."""
    DEAD = "dead"
    """The documented answer for an address that is gone, for a `share` of the addresses, others each `rotate_s`."""
    QUOTA = "quota"
    """More than `limit` requests in `window_s` (one by one address, with `by="address"`) are answered 429."""
    GOAWAY = "goaway"
    """End each HTTP/2 connection after `limit` requests."""
    STREAMS = "streams"
    """Allow `limit` requests in flight on a connection."""
    OUTAGE = "outage"
    """Refuse connections and cut those that are open, until the fault ends."""


NUMBERS = itertools.count(1)
"""A fault's number names it among all services of the process."""
NUMBERS_OF_A_FAULT = frozenset({"status", "share", "delay_s", "limit", "window_s", "rotate_s"})
RETRY_AFTER = re.compile(r"date\+\d+|(?!date\+)[\x20-\x7e]*")
OF_CONNECTIONS = frozenset({Do.GOAWAY, Do.STREAMS, Do.OUTAGE})
NEEDS: dict[Do, tuple[str, ...]] = {
    Do.ANSWER: ("status",),
    Do.DELAY: ("delay_s",),
    Do.DRIP: ("delay_s",),
    Do.QUOTA: ("limit",),
    Do.GOAWAY: ("limit",),
    Do.STREAMS: ("limit",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One line of a fault script.

    `by="request"` draws lots for each request, `by="address"` for each address once, so that an address always fares
    alike. `addresses`, where given, limits the fault to them. `retry_after` goes out as it is written (`30`, `soon`,
    `-1`, `1000000000`), except that `date+30` becomes an HTTP-date 30 s from the answer.
    """

    do: Do
    status: int = 0
    reason: str = ""
    retry_after: str = ""
    share: float = 1.0
    by: str = "request"
    addresses: frozenset[str] = frozenset()
    at: str = "send"
    """`send`, or `token`: the endpoint that gives access tokens."""
    delay_s: float = 0.0
    limit: int = 0
    window_s: float = 1.0
    rotate_s: float = 0.0
    body: str = "html"
    for_s: float | None = None
    """How long it lasts; None is until it is cleared."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Raise ValueError, in words for a person, for what is not a fault."""
        unknown = set(content) - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        try:
            do = Do(content.get("do", Do.ANSWER))
        except ValueError:
            raise ValueError(f"do is one of {', '.join(Do)}") from None
        missing = [name for name in NEEDS.get(do, ()) if not content.get(name)]
        if missing:
            raise ValueError(f"{do} needs {', '.join(missing)}")
        for name in NUMBERS_OF_A_FAULT & set(content):
            if isinstance(content[name], bool) or not isinstance(content[name], int | float):
                raise ValueError(f"{name} is a number")
        if not 0 <= content.get("share", 1.0) <= 1:
            raise ValueError("share is 0 to 1")
        if not RETRY_AFTER.fullmatch(content.get("retry_after", "")):
            raise ValueError("retry_after is a line of text; date+30 is a date 30 s ahead")
        if content.get("by", "request") not in ("request", "address"):
            raise ValueError("by is request or address")
        if content.get("body", "html") not in GARBAGE:
            raise ValueError(f"body is one of {', '.join(GARBAGE)}")
        return cls(**{**content, "do": do, "addresses": frozenset(content.get("addresses", ()))})

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "addresses": sorted(self.addresses)}


@dataclass(slots=True)
class Running:
    """A fault that is in force, with what it remembers."""

    number: int
    fault: Fault
    ends_at_s: float | None
    met: int = 0
    windows: dict[str, tuple[float, int]] = field(default_factory=dict)

    def meets(self, address: str, now_s: float, draw: Callable[[], float]) -> bool:
        fault = self.fault
        if fault.addresses and address not in fault.addresses:
            return False
        if fault.do is Do.QUOTA:
            return self._over_quota(address if fault.by == "address" else "", now_s)
        if fault.share >= 1.0:
            return True
        if fault.by == "address" or fault.do is Do.DEAD:
            turn = int(now_s / fault.rotate_s) if fault.rotate_s else 0
            return zlib.crc32(f"{turn}:{address}".encode()) / 2**32 < fault.share
        return draw() < fault.share

    def _over_quota(self, key: str, now_s: float) -> bool:
        began_s, used = self.windows.get(key, (now_s, 0))
        if now_s - began_s >= self.fault.window_s:
            began_s, used = now_s, 0
        self.windows[key] = (began_s, used + 1)
        return used >= self.fault.limit


class FaultScript:
    """The faults in force, first come first. Time is this process's monotonic clock."""

    def __init__(self) -> None:
        self._running: tuple[Running, ...] = ()
        self._random = random.Random(1)  # the same lots in each run

    def add(self, fault: Fault) -> int:
        ends_at_s = None if fault.for_s is None else time.monotonic() + fault.for_s
        running = Running(next(NUMBERS), fault, ends_at_s)
        self._running = (*self._running, running)
        return running.number

    def clear(self, number: int | None = None) -> int:
        """End one fault, or all; how many ended."""
        kept = () if number is None else tuple(each for each in self._running if each.number != number)
        ended = len(self._running) - len(kept)
        self._running = kept
        return ended

    def in_force(self) -> tuple[Running, ...]:
        if not self._running:
            return ()
        now_s = time.monotonic()
        self._running = tuple(each for each in self._running if each.ends_at_s is None or each.ends_at_s > now_s)
        return self._running

    def meeting(self, address: str, at: str) -> Fault | None:
        """The fault that decides about this request."""
        now_s = time.monotonic()
        for running in self.in_force():
            fault = running.fault
            if fault.do in OF_CONNECTIONS or fault.at != at or not running.meets(address, now_s, self._random.random):
                continue
            running.met += 1
            return fault
        return None

    def limit(self, do: Do) -> int | None:
        """The number of the first fault of this kind, or None without one."""
        return next((each.fault.limit for each in self.in_force() if each.fault.do is do), None)

    def outage(self) -> bool:
        return any(each.fault.do is Do.OUTAGE for each in self.in_force())


def _gzip_bomb() -> bytes:
    """100 MB of zeros that travel as 100 kB."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(squeeze.compress(bytes(1 << 20)) for _ in range(100)), squeeze.flush()])


GARBAGE: dict[str, Callable[[], Answer]] = {
    "html": lambda: Answer(
        status=200, headers={"content-type": "text/html"}, body=b"<!DOCTYPE html><title>Bad Gateway</title><h1>502</h1>"
    ),
    "nothing": lambda: Answer(status=200),
    "huge": lambda: Answer(status=200, headers={"content-type": "application/json"}, body=b" " * 1_000_000, times=99),
    "gzip-bomb": lambda: Answer(
        status=200, headers={"content-type": "application/json", "content-encoding": "gzip"}, body=_gzip_bomb()
    ),
}
