"""Eight processes write one SQLite file and are killed again and again: nothing committed is lost, and nobody is told
that the database is locked."""

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.api import wait_until
from tests.journey.production import PYTHON
from tests.processes import Process, spawn

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

WRITERS = 8
KINDS = ("acks", "orders", "claims", "sweeps")
KILLS = 20
BETWEEN_KILLS_S = 0.5


class Writers:
    """Two of each kind. What each wrote to its standard output is kept over its kills."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "homepot.sqlite3"
        self._folder = folder
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "DJANGO_SETTINGS_MODULE": "homepot.settings",
            "SECRET_KEY": "only-for-journeys-" + "x" * 40,
            "DATABASE_URL": f"sqlite:///{self.database}",
            "CELERY_BROKER_URL": "memory://",
            "CACHE_URL": "",
            "ALLOW_SIMULATION": "1",
            "LOG_LEVEL": "ERROR",
        }
        self.running: list[tuple[str, Process]] = []

    def run(self, *command: str) -> None:
        spawn("command", [PYTHON, *command], folder=self._folder, env=self._env).finish(120)

    def start(self, name: str, kind: str) -> None:
        command: list[str | Path] = [PYTHON, "-m", "tests.journey.sqlite_writer", kind]
        self.running.append((name, spawn(name, command, folder=self._folder, env=self._env)))

    def kill_one(self) -> None:
        """One that is in the middle of its work."""
        wait_until(lambda: any("ready" in process.output() for _, process in self.running), "writer at work")
        ready = [each for each in self.running if "ready" in each[1].output()]
        name, process = random.choice(ready)
        self.running.remove((name, process))
        process.kill()
        self.start(name, name.split("-")[0])

    def kill_all(self) -> None:
        for _, process in self.running:
            process.kill()

    def noted(self) -> list[str]:
        logs = [path for path in self._folder.glob("*.log") if path.name != "command.log"]
        return [line for path in logs for line in path.read_text(encoding="utf-8").splitlines()]

    def acked(self) -> set[str]:
        """Messages that a writer said to be acked, as SQLite spells their ids."""
        return {line.split()[1].replace("-", "") for line in self.noted() if line.startswith("acked ")}


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    found = Writers(tmp_path)
    found.run("manage.py", "migrate", "--verbosity", "0")
    found.run("-m", "tests.journey.sqlite_writer", "devices")
    for number in range(WRITERS):
        kind = KINDS[number % len(KINDS)]
        found.start(f"{kind}-{number}", kind)
    try:
        yield found
    finally:
        found.kill_all()


def test_nothing_acked_is_lost_and_nobody_meets_a_locked_database(writers: Writers) -> None:
    for _ in range(KILLS):
        time.sleep(BETWEEN_KILLS_S)
        writers.kill_one()
    wait_until(lambda: len(writers.acked()) > 0, "ack", 60)
    writers.kill_all()

    with sqlite3.connect(writers.database) as connection:
        [(integrity,)] = connection.execute("PRAGMA integrity_check").fetchall()
        delivered = connection.execute("SELECT message_id FROM push_notification_logs WHERE status = 'delivered'")
        there = {row[0] for row in delivered}
    assert integrity == "ok"
    assert writers.acked() <= there
    assert [line for line in writers.noted() if line.startswith(("refused", "Traceback"))] == []
