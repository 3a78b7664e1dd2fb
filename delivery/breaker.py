"""Pure: when a provider counts as down, how long to leave it alone, and how fast to come back."""

from collections import deque
from collections.abc import Sequence

WINDOW_S = 10.0
ENOUGH = 8
"""Fewer outcomes than this in the window say nothing."""
BROKEN_SHARE = 0.5
IN_A_ROW = 50
"""So many failures with nothing else between them say that it is down now, however much went well just before."""
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 10.0
LONGEST_ASKED_S = 60.0
PROBE_APART_S = 1.0
CLIMB_S = 45.0
FIRST_SHARE = 0.1
RECOVERED_PER_S = 1_000.0
"""What counts as the full rate of a credential that has no limit, while it climbs back."""


class FailureWindow:
    """The outcomes of one credential in the last seconds, as one process saw them."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()
        self._in_a_row = 0

    def note(self, *, failed: int, total: int, at_s: float) -> None:
        self._seen.append((at_s, failed, total))
        self._in_a_row = self._in_a_row + failed if failed == total else 0
        while self._seen and self._seen[0][0] < at_s - WINDOW_S:
            self._seen.popleft()

    def broken(self) -> bool:
        """At least half of what was tried lately failed, or all of the latest."""
        total = sum(entry[2] for entry in self._seen)
        most = total >= ENOUGH and sum(entry[1] for entry in self._seen) >= BROKEN_SHARE * total
        return most or self._in_a_row >= IN_A_ROW

    def forget(self) -> None:
        self._seen.clear()
        self._in_a_row = 0


def wait_s(opened_times: int, asked_s: Sequence[float]) -> float:
    """How long to stay open: longer each time, and never shorter than the provider asked (at most a minute)."""
    own = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(opened_times, 10))
    return max(own, min(LONGEST_ASKED_S, max(asked_s, default=0.0)))


def climbing_rate_per_s(since_closed_s: float, full_per_s: float | None) -> float | None:
    """The rate allowed this long after the breaker closed: from a tenth to the full rate; None: no limit any more."""
    if since_closed_s >= CLIMB_S:
        return full_per_s
    share = FIRST_SHARE + (1.0 - FIRST_SHARE) * max(0.0, since_closed_s) / CLIMB_S
    return share * (full_per_s or RECOVERED_PER_S)


class RetryBudget:
    """Paces the repeats of failed attempts of one credential: a share of all attempts, and some each second.

    A repeat is never refused, only put off: the budget says by how much. Only one that will happen is spent.
    """

    def __init__(self, *, share: float = 0.1, per_s: float = 1.0) -> None:
        self._share = share
        self._per_s = per_s
        self._saved = 1.0
        self._at_s: float | None = None

    def earn(self, fresh_attempts: int, at_s: float) -> None:
        passed_s = 0.0 if self._at_s is None else max(0.0, at_s - self._at_s)
        self._at_s = at_s
        self._saved = min(100.0, self._saved + passed_s * self._per_s + fresh_attempts * self._share)

    def wait_s(self) -> float:
        """The seconds by which the next repeat must be put off."""
        return max(0.0, 1.0 - self._saved) / self._per_s

    def spend(self) -> float:
        """Take one repeat; the seconds by which it must be put off."""
        wait_s = self.wait_s()
        self._saved -= 1.0
        return wait_s
