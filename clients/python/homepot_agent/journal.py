"""What must not be forgotten, line by line in one file: appended, checked when it is read, rewritten when it is long.

A line is eight hex digits (CRC-32), a space, and a JSON object. What a kill or a power cut left half written is cut off
when the file is opened; a line that does not match its sum is passed over and counted.
"""

import errno
import json
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from homepot_agent.private_files import sync_folder, write_private
from homepot_agent.wire import as_json

log = logging.getLogger(__name__)

Event = dict[str, Any]
LONGEST_BACKLOG = 20_000
FULL = (errno.ENOSPC, errno.EDQUOT)
SMALLEST_REWRITE_BYTES = 1 << 20


class Journal:
    """Not for several threads at once. `make_room` frees some of the disk, and says whether it could."""

    def __init__(self, path: Path, make_room: Callable[[], bool]) -> None:
        self._path = path
        self._make_room = make_room
        self._unwritten: list[bytes] = []
        self._lost_track = False
        self._rewrite_at_bytes = SMALLEST_REWRITE_BYTES
        self._size_bytes = 0
        self._handle = -1
        self.behind = False
        """Whether something is in memory only, because the disk would not take it."""
        self.damaged = 0
        """Lines that were passed over when it was read."""

    def open(self) -> Iterator[Event]:
        """The events so far; to be read to the end before anything is appended."""
        raw = self._path.read_bytes() if self._path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        for line in whole.splitlines():
            event = _read(line)
            if event is None:
                self.damaged += 1
            else:
                yield event
        self._use(len(whole))
        if self.damaged:
            log.warning("%s: %d damaged lines were passed over", self._path, self.damaged)

    def append(self, *events: Event, sync: bool) -> bool:
        """Whether these events, and all before them, are in the file; with `sync` also after a power cut."""
        self._unwritten += [_line(event) for event in events]
        if len(self._unwritten) > LONGEST_BACKLOG:
            self._unwritten, self._lost_track = [], True
        self.behind = self._lost_track or not self._write_or_make_room(b"".join(self._unwritten), sync=sync)
        if not self.behind:
            self._unwritten.clear()
        return not self.behind

    def wants_rewrite(self) -> bool:
        return self._lost_track or self._size_bytes > self._rewrite_at_bytes

    def rewrite(self, events: Iterable[Event]) -> bool:
        """Begin anew with the events that say all that is still so."""
        data = b"".join(_line(event) for event in events)
        try:
            write_private(self._path, data)
        except OSError as error:
            log.debug("%s: %s", self._path, error)
            self._rewrite_at_bytes = self._size_bytes * 2
            return False
        self._unwritten, self._lost_track, self.behind = [], False, False
        self._use(len(data))
        self._rewrite_at_bytes = max(SMALLEST_REWRITE_BYTES, 3 * len(data))
        return True

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _use(self, size_bytes: int) -> None:
        new = not self._path.exists()
        self.close()
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._handle, size_bytes)
        self._size_bytes = size_bytes
        if new:
            sync_folder(self._path.parent)

    def _write_or_make_room(self, data: bytes, *, sync: bool) -> bool:
        while True:
            try:
                self._write(data, sync=sync)
            except OSError as error:
                if error.errno not in FULL or not self._make_room():
                    log.debug("%s: %s", self._path, error)
                    return False
            else:
                return True

    def _write(self, data: bytes, *, sync: bool) -> None:
        """All of it or nothing: what a full disk took of a line is cut off again."""
        try:
            at = self._size_bytes
            while at < self._size_bytes + len(data):
                at += os.pwrite(self._handle, data[at - self._size_bytes :], at)
            if sync:
                os.fdatasync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self._size_bytes)
            raise
        self._size_bytes = at


def _line(event: Event) -> bytes:
    body = as_json(event)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _read(line: bytes) -> Event | None:
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        event = json.loads(line[9:])
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
