"""The product as in production: the Procfile's own commands, on servers that are given by their URLs.

For journeys and proofs alike, so nothing here knows pytest or Django.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.journey.api import Api
from tests.processes import ROOT, Process, free_port, port_answers, spawn

PYTHON = Path(sys.executable)
WORKERS = ("fanout", "maintenance", "mqtt", "simulation")
DATABASE_AWAY_S = 30.0


class Production:
    """Processes by name. As a context manager it stops them all at the end, together."""

    def __init__(
        self, folder: Path, *, database_url: str, redis_url: str, mqtt_url: str, settings: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.port = free_port()
        assert not port_answers(self.port), f"port {self.port} belongs to someone else"
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = database_url
        self.processes: dict[str, Process] = {}
        self.env = {
            "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "DJANGO_SETTINGS_MODULE": "homepot.settings",
            "SECRET_KEY": "only-for-journeys-" + "x" * 40,
            "DEBUG": "0",
            "ALLOW_SIMULATION": "1",
            "SIMULATOR": "0",
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": redis_url,
            "CACHE_URL": redis_url.replace("/0", "/1"),
            "MQTT_URL": mqtt_url,
            "BEAT_SCHEDULE_FILE": str(folder / "beat-schedule"),
            **settings,
        }
        self._commands = procfile()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [process for process in self.processes.values() if process.alive]
        for process in running:
            process.send(signal.SIGTERM)
        for process in running:
            process.wait()
            process.kill()

    def prepare(self, sites: int) -> Api:
        """A migrated database with demo sites; whoever calls over HTTP with the key of the demo."""
        self.manage("migrate", "--verbosity", "0")
        self.manage("demo", "--sites", str(sites), "--var", str(self.folder), SIMULATOR="1")
        return Api(self.url, (self.folder / "api-key").read_text(encoding="utf-8").strip())

    def manage(self, *arguments: str, **env: str) -> str:
        """Run a management command to its end; its output."""
        command: list[str | Path] = [PYTHON, "manage.py", *arguments]
        return spawn(f"manage-{arguments[0]}", command, folder=self.folder, env={**self.env, **env}).finish(120)

    def start(self, name: str, *, instance: str = "", **env: str) -> Process:
        """Start a process type of the Procfile, under another name where there is to be more than one of it."""
        own = instance or name
        command = self._commands[name].replace("0.0.0.0", "127.0.0.1").replace(f" {name}@%h", f" {own}@%h")
        command = command.replace("--concurrency 2", f"--concurrency {self.env.get('SEND_PROCESSES', 2)}")
        own_env = {**self.env, **({"DATABASE_POOL": "1"} if name == "web" else {}), **env}
        self.processes[own] = spawn(own, ["sh", "-c", f"exec {command}"], folder=self.folder, env=own_env)
        return self.processes[own]

    def start_all(self, *workers: str) -> None:
        """Web, these workers, beat and the consumer of acks; ready when this returns."""
        for name in ("web", *workers, "beat", "mqtt_acks"):
            self.start(name)
        self.processes["web"].wait_for_url(f"{self.url}/livez")
        self.processes["mqtt_acks"].wait_for_line("taking acks")
        for name in workers:
            self.processes[name].wait_for_line(" ready.")


class Record:
    """What the database says, asked in SQL and not through the product's own models; it outlives a restart."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection = psycopg.connect(database_url, autocommit=True)

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, *params: object) -> list[dict[str, Any]]:
        gives_up_at = time.monotonic() + DATABASE_AWAY_S
        while True:
            try:
                if self._connection.closed:
                    self._connection = psycopg.connect(self._url, autocommit=True)
                with self._connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
                    return cursor.execute(sql.encode(), params).fetchall()
            except psycopg.OperationalError:
                self._connection.close()
                if time.monotonic() > gives_up_at:
                    raise
                time.sleep(0.1)

    def execute(self, sql: str, *params: object) -> int:
        """How many rows it changed."""
        return self._connection.execute(sql.encode(), params).rowcount

    def number(self, sql: str, *params: object) -> int:
        """The one column of the one row that is asked for; NULL is 0."""
        [row] = self.rows(sql, *params)
        [number] = row.values()
        return int(number or 0)

    def messages(self, job_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM push_notification_logs WHERE job_id = %s ORDER BY id", job_id)

    def count(self, job_id: str, status: str) -> int:
        return self.number(
            "SELECT count(*) FROM push_notification_logs WHERE job_id = %s AND status = %s", job_id, status
        )

    def held(self, job_id: str) -> int:
        """Messages that a worker holds, dead or alive, and that have not ended."""
        return self.number(
            "SELECT count(*) FROM push_notification_logs"
            " WHERE job_id = %s AND claim_token IS NOT NULL AND status = 'pending'",
            job_id,
        )


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))
