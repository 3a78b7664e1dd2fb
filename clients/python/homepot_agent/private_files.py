"""Files that only their owner may read, there whole or not at all, also after a power cut."""

import fcntl
import os
from pathlib import Path
from typing import Self


def write_private(path: Path, data: bytes) -> None:
    """Replace the file; it is on the disk when this returns. OSError: the old one is still there."""
    fresh = path.with_name(path.name + ".new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renamed and new names last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


class InUse(Exception):
    """Another agent has this folder."""


class FolderLock:
    """One agent for each folder; let go when its process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._handle = -1

    def __enter__(self) -> Self:
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise InUse(str(self._path.parent)) from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def held(self) -> bool:
        """Whether some agent has it now."""
        try:
            with self:
                return False
        except InUse:
            return True
