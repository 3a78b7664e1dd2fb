"""How long to wait after a failure, whoever rings meanwhile."""

from collections.abc import Callable
from random import Random

from homepot_agent.clock import steady_s


class Backoff:
    """Doubling from `first_s` to `cap_s`, spread over the upper half, so that a fleet does not come back as one."""

    def __init__(
        self,
        first_s: float = 1.0,
        cap_s: float = 30.0,
        rng: Random | None = None,
        steady: Callable[[], float] = steady_s,
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._rng = rng or Random()
        self._steady = steady
        self._failures = 0
        self._own_until = self._asked_until = 0.0

    def failed(self, asked_s: float = 0.0) -> float:
        """One more failure: how long to wait. `asked_s` is what the server wants, at least."""
        longest = min(self._cap_s, self._first_s * 2 ** min(self._failures, 16))
        self._failures += 1
        now = self._steady()
        self._own_until = now + self._rng.uniform(longest / 2, longest)
        self._asked_until = now + asked_s
        return self.left_s()

    def left_s(self) -> float:
        """0 where the next try may be now."""
        return max(0.0, max(self._own_until, self._asked_until) - self._steady())

    def hurry(self) -> None:
        """The network is back: what the server asked for still holds, our own caution does not."""
        self._own_until = 0.0

    def reset(self) -> None:
        """It went well."""
        self._failures = 0
        self._own_until = self._asked_until = 0.0
