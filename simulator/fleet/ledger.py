"""What the devices say of each single message, for a proof that compares it with the database, row by row."""

import json
from pathlib import Path
from typing import Any

PUSHED, FETCHED, ACKED = "pushed", "fetched", "acked"


class Ledger:
    """A JSON line for each push that reached a device, each message from an inbox, and each ack that was confirmed.

    `by` is the way that it took: a provider, `inbox`, or for acks `http` and `mqtt`. Without a file nothing is kept.
    """

    def __init__(self, file: Path | None) -> None:
        self._lines = file.open("a", buffering=1, encoding="utf-8") if file is not None else None

    def note(self, what: str, *, by: str, device_id: str, message_id: str) -> None:
        if self._lines is not None:
            line = {"what": what, "by": by, "device_id": device_id, "message_id": message_id}
            self._lines.write(json.dumps(line, separators=(",", ":")) + "\n")


def read(file: Path) -> list[dict[str, Any]]:
    """The whole lines so far."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
