"""What the devices themselves say happened: the truth that a proof compares with the database."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.fleet.device import SIMULATION, Device

WORDS = ("received", "duplicates", "acked")


def counted(devices: Iterable[Device], answers: Mapping[str, int], started_at: datetime) -> dict[str, Any]:
    """Totals, each device's own numbers, and how often the server gave each answer, since `started_at`.

    Devices of the simulation provider are left out: their messages and acks pass inside it, not through this fleet.
    """
    by_device = {
        device.identity.device_id: {word: getattr(device, word) for word in WORDS}
        for device in devices
        if device.identity.channel != SIMULATION
    }
    totals = {word: sum(numbers[word] for numbers in by_device.values()) for word in WORDS}
    return {
        "started_at": started_at.isoformat(),
        "written_at": datetime.now(UTC).isoformat(),
        "totals": totals,
        "answers": dict(answers),
        "devices": by_device,
    }


def write(file: Path, counts: dict[str, Any]) -> None:
    """Replace the file at once, so that no reader sees half of it."""
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(json.dumps(counts) + "\n", encoding="utf-8")
    fresh.replace(file)
