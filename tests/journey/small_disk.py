"""A file system of a few megabytes for the tables that are written most, and how to fill it.

For journeys and injected faults alike, so nothing here knows pytest or Django.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import connect, sql

TABLES = ("push_notification_logs", "push_delivery_logs", "delivery_job", "delivery_deliveryattempt")


class NoSmallDisk(Exception):
    """This user may not mount a file system; says so."""


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """To the last block, also of what the database had laid by."""
        with self._ballast.open("wb", buffering=0) as file:
            for size_bytes in (64 * 1024, 4096):
                block = b"x" * size_bytes
                try:
                    while True:
                        file.write(block)
                except OSError:
                    continue

    def free(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """Mounted while the block runs; unmounted by force of habit: whatever uses it then has to have ended."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0777", "tmpfs", str(folder)]
    mounted = subprocess.run(options, capture_output=True, text=True)
    if mounted.returncode:
        raise NoSmallDisk(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def move_tables(database_url: str, folder: Path) -> None:
    """Let these tables grow on that file system alone: indexes and the write-ahead log stay where they were."""
    home = folder / "tables"
    home.mkdir()
    shutil.chown(home, _owner(database_url))
    with connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(home))))
        for table in TABLES:
            connection.execute(sql.SQL("ALTER TABLE {} SET TABLESPACE small").format(sql.Identifier(table)))


def _owner(database_url: str) -> int:
    """Whom the server runs as."""
    with connect(database_url) as connection:
        found = connection.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
    assert found is not None
    return Path(found[0]).stat().st_uid
