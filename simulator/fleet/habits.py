"""What real devices do besides their duty, and how much of it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Shares are of 1; times between are means, 0 means never."""

    reboot_every_s: float = 0.0
    reboot_takes_s: float = 40.0
    """A device comes back from it with newer firmware, where there is one."""
    new_address_every_s: float = 0.0
    """How often its push service gives a device another address."""
    clock_wrong: float = 0.0
    """The share of devices whose clock is wrong, by up to `clock_off_s` either way."""
    clock_off_s: float = 0.0
    clock_drift_ppm: float = 0.0
    duplicate_acks: float = 0.0
    """The share of acks that are sent once more, within `repeated_within_s`, although the server confirmed them."""
    repeated_within_s: float = 60.0
    late_acks: float = 0.0
    """The share that is sent up to `late_by_s` after the message came."""
    late_by_s: float = 0.0

    def clock(self, rng: Random) -> "DeviceClock":
        """For one device."""
        if not (self.clock_wrong and rng.random() < self.clock_wrong):
            return DeviceClock()
        off_s = rng.uniform(-self.clock_off_s, self.clock_off_s)
        return DeviceClock(off_s, rng.uniform(-self.clock_drift_ppm, self.clock_drift_ppm))


HABITS = {
    "calm": Habits(),
    "lively": Habits(
        reboot_every_s=6 * 3_600,
        new_address_every_s=24 * 3_600,
        clock_wrong=0.2,
        clock_off_s=90,
        clock_drift_ppm=50,
        duplicate_acks=0.01,
        late_acks=0.01,
        late_by_s=15,
    ),
    "wild": Habits(
        reboot_every_s=600,
        new_address_every_s=900,
        clock_wrong=0.5,
        clock_off_s=3_600,
        clock_drift_ppm=500,
        duplicate_acks=0.1,
        late_acks=0.1,
        late_by_s=120,
    ),
}


class DeviceClock:
    """A device's time of day: off by something from the start, and by more and more."""

    __slots__ = ("_drift", "_off_s", "_started_s")

    def __init__(self, off_s: float = 0.0, drift_ppm: float = 0.0) -> None:
        self._off_s = off_s
        self._drift = drift_ppm / 1e6
        self._started_s = time.monotonic()

    def now(self) -> datetime:
        wrong_s = self._off_s + self._drift * (time.monotonic() - self._started_s)
        return datetime.now(UTC) + timedelta(seconds=wrong_s)
