"""What goes wrong at the devices' end: a JSON file that is read again whenever it changes.

    {"cut": ["site-001"],                                        no uplink: nothing comes, nothing goes
     "blocked": [["site-002", "fcm"]],                           this way of getting messages, at this site only
     "denied": {"till-7": "", "till-8": "notifications_denied"}, gets messages and says nothing, or this code
     "slow": {"site-004": {"median_ms": 9000, "sigma": 0.6}},    how long a message's last metres take there
     "clocks": {"till-9": {"ahead_s": 180, "drift_ppm": 50}}}    what a device takes the time for

What is sent meanwhile waits where a real one would: at the push service or the broker, until its time is over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from simulator.fleet.device import Device
from simulator.fleet.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    cut: frozenset[str] = frozenset()
    blocked: frozenset[tuple[str, str]] = frozenset()
    denied: Mapping[str, str] = field(default_factory=dict)
    slow: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    clocks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Script":
        return cls(
            cut=frozenset(content.get("cut", ())),
            blocked=frozenset((site_id, channel) for site_id, channel in content.get("blocked", ())),
            denied=content.get("denied", {}),
            slow=content.get("slow", {}),
            clocks=content.get("clocks", {}),
        )


class Troubles:
    """Without a file nothing ever goes wrong."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.stamp_ns = 0
        """Of the file that is in force."""
        self._began_at = datetime.now(UTC)
        self._script = Script()
        self.look()

    def look(self) -> bool:
        """Read the file if it changed; whether it did. One that is half written is read the next time."""
        if self._file is None or not self._file.exists():
            return False
        stamp_ns = self._file.stat().st_mtime_ns
        if stamp_ns == self.stamp_ns:
            return False
        try:
            self._script = Script.from_json(json.loads(self._file.read_text(encoding="utf-8")))
        except ValueError:
            return False
        self.stamp_ns = stamp_ns
        return True

    def connected(self, device: Device) -> bool:
        """Its site has an uplink."""
        return device.identity.site_id not in self._script.cut

    def hears(self, device: Device, channel: str) -> bool:
        """Messages of this channel come through to it."""
        return self.connected(device) and (device.identity.site_id, channel) not in self._script.blocked

    def refusal(self, device: Device) -> str | None:
        """None: it takes messages as it should. Else the code that it refuses them with; empty: it says nothing."""
        return self._script.denied.get(device.identity.device_id)

    def delay_s(self, device: Device, network: Network, rng: Random) -> float:
        """From the push service or broker until the device has a message."""
        slow = self._script.slow.get(device.identity.site_id)
        if slow is not None:
            network = replace(network, device_median_ms=slow["median_ms"], device_sigma=slow["sigma"])
        return network.device_delay_s(rng)

    def time_of(self, device: Device) -> datetime:
        """What the device takes the time for."""
        told = device.clock.now()
        wrong = self._script.clocks.get(device.identity.device_id)
        if wrong is None:
            return told
        drift_s = (datetime.now(UTC) - self._began_at).total_seconds() * wrong.get("drift_ppm", 0.0) / 1e6
        return told + timedelta(seconds=wrong["ahead_s"] + drift_s)
