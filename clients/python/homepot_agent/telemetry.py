"""Numbers and lines on their way to the server: buffered, sealed into batches, sent until the server has them.

A sealed batch is a file of its own with the id under which the server knows it, so that sending it twice stores it
once. The oldest go when there are too many, or when the disk has no room for what matters more.
"""

import json
import logging
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from homepot_agent.backoff import Backoff
from homepot_agent.private_files import private_folder, write_private
from homepot_agent.server import Server
from homepot_agent.wire import as_json

log = logging.getLogger(__name__)

FLUSH_S = 10.0
FLUSH_ITEMS = 100
BATCH_BYTES = 200_000
"""The server takes 256 KiB."""
MOST_BATCHES = 500

Kind = Literal["metrics", "lines"]
PATHS: Mapping[str, str] = {"metrics": "/agent/telemetry", "lines": "/telemetry/flush"}


class Telemetry:
    """For all threads. `add` from any of them, `step` from one."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = private_folder(folder)
        self.backoff = Backoff()
        self._lock = threading.Lock()
        self._fresh: dict[Kind, deque[dict[str, Any]]] = {
            kind: deque(maxlen=FLUSH_ITEMS * MOST_BATCHES) for kind in ("metrics", "lines")
        }
        self._sealed = deque(sorted(folder.glob("*.json")))
        self._number = int(self._sealed[-1].name.split("-")[0]) if self._sealed else 0
        self.dropped_batches = 0

    def add(self, kind: Kind, item: dict[str, Any]) -> bool:
        """Whether there are enough now to be sent before their time."""
        with self._lock:
            self._fresh[kind].append(item)
            return len(self._fresh[kind]) >= FLUSH_ITEMS

    @property
    def waiting_batches(self) -> int:
        return len(self._sealed)

    def step(self) -> float:
        """Seal what came, then send what is sealed."""
        self.seal()
        while self._sealed:
            wait_s = self._send(self._sealed[0])
            if wait_s:
                return min(wait_s, FLUSH_S)
        return FLUSH_S

    def seal(self) -> None:
        """Write down what is in memory. What the disk does not take stays there."""
        for kind in self._fresh:
            while batch := self._take(kind):
                if not self._keep(kind, batch):
                    with self._lock:
                        self._fresh[kind].extendleft(reversed(batch))
                    return

    def drop_oldest(self) -> bool:
        """Make room on the disk; False where there is nothing to drop."""
        with self._lock:
            if not self._sealed:
                return False
            oldest = self._sealed.popleft()
            self.dropped_batches += 1
        oldest.unlink(missing_ok=True)
        log.warning("telemetry was dropped for want of room: %s", oldest.name)
        return True

    def _take(self, kind: Kind) -> list[dict[str, Any]]:
        """The next batch, within what one request may hold."""
        batch: list[dict[str, Any]] = []
        size_bytes = 0
        with self._lock:
            fresh = self._fresh[kind]
            while fresh and len(batch) < FLUSH_ITEMS:
                size_bytes += len(as_json(fresh[0]))
                if batch and size_bytes > BATCH_BYTES:
                    break
                batch.append(fresh.popleft())
        return batch

    def _keep(self, kind: Kind, batch: list[dict[str, Any]]) -> bool:
        if len(self._sealed) >= MOST_BATCHES:
            self.drop_oldest()
        self._number += 1
        file = self._folder / f"{self._number:012d}-{uuid.uuid4().hex}.json"
        try:
            write_private(file, as_json({"kind": kind, "items": batch}))
        except OSError as error:
            log.debug("%s: %s", file, error)
            return False
        with self._lock:
            self._sealed.append(file)
        return True

    def _send(self, file: Path) -> float:
        batch = _read(file)
        if batch is None:
            self._forget(file)
            return 0.0
        batch_id = file.stem.split("-")[1]
        answer = self._server.call("POST", PATHS[batch["kind"]], batch["items"], headers={"Idempotency-Key": batch_id})
        if answer.later or answer.status in (401, 403):
            return self.backoff.failed(answer.retry_after_s)
        self.backoff.reset()
        if not answer.ok:
            log.warning("a batch of telemetry was refused and dropped: %s", answer.text)
        self._forget(file)
        return 0.0

    def _forget(self, file: Path) -> None:
        with self._lock:
            if self._sealed and self._sealed[0] == file:
                self._sealed.popleft()
        file.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any] | None:
    """None for one that was dropped meanwhile, or damaged."""
    try:
        batch = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return batch if isinstance(batch, dict) and batch.get("kind") in PATHS else None
