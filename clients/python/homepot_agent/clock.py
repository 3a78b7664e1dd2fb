"""The server's time, as a device may know it whatever its own clock does. Pure: the clocks are given.

A device's time of day may be years off, and may be set while the agent runs. So time is counted by the steady clock,
from one point: the time of day where the server agrees with it, else the server's. Every answer of the server bounds
that point; it is moved only where it lies outside, so that what differs stays the same from ack to ack, and the
server, which measures the rest from heartbeats, takes it out.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

DATE_IS_BEHIND_S = 2.0
"""The Date header counts whole seconds, and servers renew it about once a second."""
DRIFT = 100e-6
"""What the steady clock may lose or gain of itself."""


def steady_s() -> float:
    """Seconds that nobody can set; where the system can tell, they go on while the device sleeps."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between these lies what has to be added to the steady clock to get the server's time."""

    low: float
    high: float

    def meet(self, other: "Bounds") -> "Bounds | None":
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Bounds(low, high) if low <= high else None

    def nearest(self, point: float) -> float:
        return min(max(point, self.low), self.high)

    def widened(self, by_s: float) -> "Bounds":
        return Bounds(self.low - by_s, self.high + by_s)


class ServerClock:
    def __init__(self, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_s) -> None:
        self._wall = wall
        self._steady = steady
        self._lock = threading.Lock()
        self._point = wall() - steady()
        self._bounds: Bounds | None = None
        self._bounded_at = 0.0
        self._doubted: Bounds | None = None
        self._exact = False

    def start_from(self, behind_s: float) -> None:
        """What an earlier run learned about this device's time of day; good until the server says something."""
        self._point = self._wall() + behind_s - self._steady()

    def now_s(self) -> float:
        """The server's time, in Unix seconds. It runs steadily between two answers of the server."""
        return self._steady() + self._point

    def steady_s(self) -> float:
        return self._steady()

    @property
    def behind_s(self) -> float:
        """What the device's time of day lacks to be the server's, now."""
        return self.now_s() - self._wall()

    def date_header(self, text: str, asked_at: float, answered_at: float) -> None:
        """An answer's Date, with the steady times of question and answer. It counts until better is known."""
        try:
            said = parsedate_to_datetime(text).timestamp()
        except (TypeError, ValueError):
            return
        with self._lock:
            if not self._exact:
                self._observe(Bounds(said - answered_at, said + DATE_IS_BEHIND_S - asked_at))

    def server_said(self, time_s: float, asked_at: float, answered_at: float) -> None:
        """The server's time to the millisecond, read between question and answer."""
        sample = Bounds(time_s - answered_at, time_s - asked_at)
        with self._lock:
            if not self._exact and self._bounds is not None and self._bounds.widened(1.0).meet(sample) is None:
                self._doubt(sample)
                return
            if not self._exact:
                self._exact, self._bounds = True, None
            self._observe(sample)

    def _observe(self, sample: Bounds) -> None:
        known = self._bounds and self._bounds.widened(DRIFT * (self._steady() - self._bounded_at))
        met = sample if known is None else known.meet(sample)
        if met is None:
            self._doubt(sample)
        else:
            self._keep(met)

    def _doubt(self, sample: Bounds) -> None:
        """One answer that contradicts all before it may be stale; two that agree are believed."""
        agreed = self._doubted and self._doubted.widened(1.0).meet(sample)
        if agreed:
            self._keep(sample)
        else:
            self._doubted = sample

    def _keep(self, bounds: Bounds) -> None:
        self._bounds, self._bounded_at, self._doubted = bounds, self._steady(), None
        if bounds.nearest(self._point) != self._point:
            by_the_wall = self._wall() - self._steady()
            trusted = by_the_wall if bounds.nearest(by_the_wall) == by_the_wall else (bounds.low + bounds.high) / 2
            self._point = trusted
