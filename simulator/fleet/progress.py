"""How a fleet is doing, in one line for people, every few seconds: totals, rates since the line before, memory."""

import resource
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from simulator.fleet.counts import WORDS
from simulator.fleet.device import INBOX, PUSH_SERVICES, SIMULATION, Device
from simulator.fleet.life import Life
from simulator.fleet.listening import Connection
from simulator.fleet.orders import Orders
from simulator.fleet.push_services import PushStream
from simulator.fleet.server import Server
from simulator.fleet.spool import Spool

STATM = Path("/proc/self/statm")


class Rates:
    """Per second, since they were last asked for."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()
        self._before: Counter[str] = Counter()

    def since(self, totals: Mapping[str, int]) -> dict[str, float]:
        now_s = time.monotonic()
        span_s = max(now_s - self._at_s, 1e-3)
        rates = {word: (total - self._before[word]) / span_s for word, total in totals.items()}
        self._at_s, self._before = now_s, Counter(totals)
        return rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Looks at the parts of a fleet; changes nothing."""

    planned: int
    devices: Sequence[Device]
    ears: Mapping[Device, Connection]
    stream: PushStream
    spool: Spool
    orders: Orders
    life: Life
    server: Server
    rates: Rates = field(default_factory=Rates)

    def line(self) -> str:
        totals = {word: sum(getattr(device, word) for device in self.devices) for word in WORDS}
        happening = {
            "received": totals["received"],
            "acked": totals["acked"],
            "requests": self.server.answers.total(),
        }
        parts = [
            f"{datetime.now(UTC):%H:%M:%S}Z  {self._devices()}",
            f"received {totals['received']}, duplicates {totals['duplicates']}, "
            f"acked {totals['acked']}, on their way {len(self.spool)}, given up {self.spool.given_up}",
            f"jobs ordered {self.orders.accepted}",
            *self._life(),
            ", ".join(f"{rate:.0f} {word}/s" for word, rate in self.rates.since(happening).items()),
            f"{memory_mib():.0f} MiB",
        ]
        return "; ".join(parts)

    def _devices(self) -> str:
        by_channel = Counter(device.identity.channel for device in self.devices)
        pushed = sum(by_channel[service] for service in PUSH_SERVICES)
        listening = sum(device.identity.listens_on_mqtt for device in self.devices)
        connected = sum(ear.open for ear in self.ears.values())
        return (
            f"{len(self.devices)} of {self.planned} devices: "
            f"{pushed} push services ({self.stream.online} online), {listening} MQTT ({connected} connected), "
            f"{by_channel[SIMULATION]} simulation, {by_channel[INBOX]} inbox"
        )

    def _life(self) -> list[str]:
        """Nothing of a fleet to which nothing happens."""
        life, repeated = self.life, self.spool.repeated
        if not (life.departures or life.new_addresses or repeated):
            return []
        return [
            f"away {life.away}, reboots {life.reboots}, new addresses {life.new_addresses}, acks repeated {repeated}"
        ]


def memory_mib() -> float:
    """What this process holds now; where the system does not say, the most that it ever held."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20
