"""How good a device's connection is. Delays are log-normal: half of them are below the median, sigma is the tail."""

from dataclasses import dataclass
from random import Random


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

    def device_delay_s(self, rng: Random) -> float:
        return rng.lognormvariate(0, self.device_sigma) * self.device_median_ms / 1000


NETWORKS = {
    "ideal": Network(device_median_ms=5, device_sigma=0.1, request_loss=0, answer_loss=0, patience_s=10),
    "office": Network(device_median_ms=300, device_sigma=0.6, request_loss=0.001, answer_loss=0.001, patience_s=5),
    "bad-wifi": Network(device_median_ms=2_500, device_sigma=1.2, request_loss=0.04, answer_loss=0.02, patience_s=8),
    "terrible": Network(device_median_ms=15_000, device_sigma=1.5, request_loss=0.2, answer_loss=0.1, patience_s=10),
}
