"""Memory of a worker while it works: flat, or the measurement fails."""

import sys

import psutil

MAY_GROW = 0.2
MB = 1e6


class Memory:
    """Resident bytes of a process and all that descends from it, noted once per `step` of what it has done."""

    def __init__(self, pid: int, *, step: int, flat_from: int) -> None:
        self._leader = psutil.Process(pid)
        self._step, self._flat_from = step, flat_from
        self._noted: dict[int, float] = {}

    def note(self, done: int) -> None:
        """To be called more often than a step takes."""
        steps = done // self._step
        if steps * self._step not in self._noted and steps:
            self._noted[steps * self._step] = self._megabytes()

    @property
    def first(self) -> float:
        """MB when it had to be flat from then on."""
        return self._noted[min(done for done in self._noted if done >= self._flat_from)]

    @property
    def furthest(self) -> float:
        """MB where it was furthest from that."""
        flat = [megabytes for done, megabytes in self._noted.items() if done >= self._flat_from]
        return max(flat, key=lambda megabytes: abs(megabytes - self.first))

    def check(self) -> None:
        story = ", ".join(f"{done:,}: {megabytes:.0f}" for done, megabytes in sorted(self._noted.items()))
        print(f"            MB of the worker: {story}", file=sys.stderr, flush=True)
        if abs(self.furthest / self.first - 1) > MAY_GROW:
            raise AssertionError(f"the worker's memory is not flat from {self._flat_from:,} on: {story}")

    def _megabytes(self) -> float:
        family = [self._leader, *self._leader.children(recursive=True)]
        return float(sum(member.memory_info().rss for member in family) / MB)
