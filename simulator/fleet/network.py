"""How good a device's connection is. Delays are log-normal: half of them are below the median, sigma is the tail."""

from dataclasses import dataclass
from random import Random

FEW_AT_ONCE, MANY_AT_ONCE = 16, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    device_median_ms: float
    """From the moment that the message comes out of the broker until the device has it and acks."""
    device_sigma: float
    request_loss: float
    """The share of HTTP requests that never reach the server."""
    answer_loss: float
    """The share whose answer never comes back: the server did the work, and the device has to ask again."""
    patience_s: float
    """How long a device waits before it calls a request lost."""
    request_median_ms: float = 0.0
    """What an HTTP request takes there and back, besides the server's own time."""
    offline_every_s: float = 0.0
    """The mean time between two periods in which a device has no network at all; 0: it always has."""
    offline_for_s: float = 0.0
    """The mean length of such a period."""

    @property
    def requests_at_once(self) -> int:
        """How many the fleet lets be under way: on a good network few are enough, on a bad one most of them wait."""
        waits = self.request_loss or self.answer_loss or self.request_median_ms
        return MANY_AT_ONCE if waits else FEW_AT_ONCE

    def device_delay_s(self, rng: Random) -> float:
        return rng.lognormvariate(0, self.device_sigma) * self.device_median_ms / 1000

    def request_delay_s(self, rng: Random) -> float:
        return rng.lognormvariate(0, self.device_sigma) * self.request_median_ms / 1000


NETWORKS = {
    "ideal": Network(device_median_ms=5, device_sigma=0.1, request_loss=0, answer_loss=0, patience_s=10),
    "office": Network(device_median_ms=300, device_sigma=0.6, request_loss=0.001, answer_loss=0.001, patience_s=5),
    "bad-wifi": Network(
        device_median_ms=2_500,
        device_sigma=1.2,
        request_loss=0.04,
        answer_loss=0.02,
        patience_s=8,
        request_median_ms=120,
        offline_every_s=1_800,
        offline_for_s=30,
    ),
    "mobile": Network(
        device_median_ms=800,
        device_sigma=0.9,
        request_loss=0.01,
        answer_loss=0.01,
        patience_s=8,
        request_median_ms=150,
        offline_every_s=1_200,
        offline_for_s=60,
    ),
    "satellite": Network(
        device_median_ms=1_500,
        device_sigma=0.3,
        request_loss=0.02,
        answer_loss=0.01,
        patience_s=15,
        request_median_ms=650,
        offline_every_s=3_600,
        offline_for_s=120,
    ),
    "patchy": Network(
        device_median_ms=400,
        device_sigma=0.8,
        request_loss=0.005,
        answer_loss=0.005,
        patience_s=5,
        request_median_ms=40,
        offline_every_s=300,
        offline_for_s=180,
    ),
    "terrible": Network(device_median_ms=15_000, device_sigma=1.5, request_loss=0.2, answer_loss=0.1, patience_s=10),
}
"""`patchy` is offline more than a third of the time; what was sent meanwhile waits."""
