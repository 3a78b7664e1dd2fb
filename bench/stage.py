"""Where a measurement plays: private PostgreSQL (durable), Redis, the stub, and the product's own processes on them."""

import json
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bench.stub import Broker, PushStub
from simulator.services.tls import key_pem, write_private
from tests import servers
from tests.journey.api import Api, wait_until
from tests.journey.production import Production, Record
from tests.processes import Process

TTL_S = 86_400
PROCESSES_PER_WORKER = 2
POLL_S = 0.02
WARM_UP = 1_000


class Stage:
    """One set of servers for all cases of a run; each measurement gets an empty database of its own."""

    def __init__(self, folder: Path, log_rows: int = 10_000_000) -> None:
        self.folder = folder
        self.log_rows = log_rows
        """Of the large log, for the cases that need one."""
        self.postgres = servers.Postgres(folder, durable=True, settings=POSTGRES_SETTINGS)
        self.redis = servers.Redis(folder)
        self.mqtt = Broker(folder)
        self.stub = PushStub(folder)
        self._plays = 0
        self._kept: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._started: list[servers.Server] = []
        try:
            for server in (self.postgres, self.redis, self.mqtt, self.stub):
                self._started.append(server.start())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for server in reversed(self._started):
            server.stop()

    def kept_database(self, name: str, fill: Callable[[str], None]) -> str:
        """The URL of a database that the cases of a run share; `fill` makes it, for the first that asks."""
        if name not in self._kept:
            url = self.postgres.create_database(name)
            fill(url)
            self._kept[name] = url
        return self._kept[name]

    def play(self, *workers: str, **settings: str) -> "Play":
        """The product on an empty database, with these workers."""
        name = self.next_name()
        return Play(self, name, self.postgres.create_database(name), workers, settings)

    def next_name(self) -> str:
        """For a folder and a database that nobody had before."""
        self._plays += 1
        return f"play_{self._plays}"

    @contextmanager
    def expecting(self, provider: str, messages: int) -> Iterator[None]:
        """An error where what takes this provider's messages counts other than this many meanwhile."""
        counts = self.mqtt.counts if provider == "mqtt" else self.stub.counts
        before = counts()[provider]
        yield
        counted = counts()[provider] - before
        if counted != messages:
            raise AssertionError(f"{messages} messages were sent to {provider}, and {counted} came")


POSTGRES_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "checkpoint_timeout": "15min"}


class Play:
    """The product's processes on one database, its devices, and jobs that are ordered over HTTP."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        database_url: str,
        workers: Sequence[str],
        settings: Mapping[str, str],
    ) -> None:
        self.stage = stage
        self.folder = stage.folder / name
        self.folder.mkdir()
        self.credentials_file = self.folder / "credentials.toml"
        self.credentials_file.write_text(credentials(stage.stub, self.folder), encoding="utf-8")
        self.production = Production(
            self.folder,
            database_url=database_url,
            redis_url=stage.redis.url,
            mqtt_url=stage.mqtt.url,
            settings={
                "CREDENTIALS_FILE": str(self.credentials_file),
                "SEND_PROCESSES": str(PROCESSES_PER_WORKER),
                "LOG_LEVEL": "WARNING",
                "ALLOW_SIMULATION": "0",
                "WEB_WORKERS": "1",
                **settings,
            },
        )
        self._workers = workers
        self._processes = int(self.production.env["SEND_PROCESSES"])

    def __enter__(self) -> Self:
        self.production.manage("migrate", "--verbosity", "0")
        self.production.manage("demo", "--sites", "1", "--var", str(self.folder), SIMULATOR="1")
        self.api = Api(self.production.url, (self.folder / "api-key").read_text(encoding="utf-8").strip())
        self.record = Record(self.production.database_url)
        for name in ("web", "beat", *self._workers):
            self.production.start(name)
        self.production.processes["web"].wait_for_url(f"{self.production.url}/livez")
        for name in self._workers:
            wait_for_children(self.production.processes[name], self._processes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.record.close()
        self.production.__exit__(kind, error, trace)

    def processes(self) -> dict[str, int]:
        """Ids by name: the servers', and the product's own."""
        stage = self.stage
        shared = {each.name: each.process for each in (stage.postgres, stage.redis, stage.mqtt, stage.stub)}
        return {name: process.pid for name, process in {**shared, **self.production.processes}.items() if process}

    def credential(self, provider: str) -> dict[str, Any]:
        """The settings with which the product sends here; they outlive its processes."""
        if provider == "mqtt":
            return {"url": self.stage.mqtt.url}
        named = tomllib.loads(self.credentials_file.read_text(encoding="utf-8"))
        return dict(named[provider]["default"])

    def devices(self, provider: str, count: int, addresses: str) -> None:
        """`count` devices with one channel each; `addresses` is SQL over the device's number `n`."""
        with psycopg.connect(self.production.database_url, autocommit=True) as connection:
            connection.execute(DEVICES.encode(), [provider, count])
            connection.execute(CHANNELS.replace("@ADDRESS@", addresses).encode(), [provider, provider])
            connection.execute(b"VACUUM ANALYZE delivery_device, delivery_channel")

    def warm_up(self, provider: str) -> None:
        """Connections, tokens and plans as they are an hour after the start."""
        names = [f"{provider}-{number}" for number in range(1, WARM_UP + 1)]
        self._send({"devices": names}, WARM_UP, 60.0)

    def send_all(self, messages: int, timeout_s: float = 300.0) -> float:
        """Order one job for every device and wait until its every message is sent; seconds."""
        return self._send({"all": True}, messages, timeout_s)

    def _send(self, target: Mapping[str, object], messages: int, timeout_s: float) -> float:
        began = time.monotonic()
        job_id = self.api.order(target, priority="normal", ttl_seconds=TTL_S)
        wait_until(
            lambda: self._all_sent(job_id, messages),
            f"{messages} messages sent",
            timeout_s,
            lambda: self.record.rows("SELECT status, count(*) FROM push_notification_logs GROUP BY 1"),
            pause_s=POLL_S,
        )
        return time.monotonic() - began

    def _all_sent(self, job_id: str, messages: int) -> bool:
        if self.record.rows("SELECT 1 FROM push_notification_logs WHERE status = 'pending' LIMIT 1"):
            return False
        return self.record.count(job_id, "sent") >= messages


def wait_for_children(worker: Process, count: int) -> None:
    """A worker whose log begins at warnings does not say that it is ready."""
    leader = psutil.Process(worker.pid)
    worker.wait_for("its children", lambda: len(leader.children(recursive=True)) >= count)


DEVICES = """
    INSERT INTO delivery_device (device_id, site_id, name, platform, device_type, segment, lifecycle, capabilities,
        permissions, dna, health, clock_samples, key_hash, previous_key_hash, created_at)
    SELECT %s || '-' || n, 'site-001', '', 'bench', '', '', 'active', '{}', '{}', '{}', 'unknown', '[]', '', '', now()
    FROM generate_series(1, %s) AS n
"""
CHANNELS = """
    INSERT INTO delivery_channel (device_id, provider, credential, address, address_hash, rank, environment, state,
        registered_at, disabled_by, disabled_code)
    SELECT id, %s, 'default', address, encode(sha256(convert_to(address, 'UTF8')), 'hex'), 0, '', 'active', now(),
        '', ''
    FROM (SELECT id, @ADDRESS@ AS address
          FROM (SELECT id, split_part(device_id, '-', 2)::bigint AS n FROM delivery_device
                WHERE device_id LIKE %s || '-%%') AS numbered) AS made
"""


def credentials(stub: PushStub, folder: Path) -> str:
    """The product's CREDENTIALS_FILE for sending to the stub."""
    account = folder / "service-account.json"
    key = key_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)).decode()
    account.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "bench",
                "client_email": "bench@example.org",
                "private_key": key,
                "token_uri": f"{stub.url}/token",
            }
        ),
        encoding="utf-8",
    )
    p8, vapid = folder / "apns.p8", folder / "vapid.pem"
    for file in (p8, vapid):
        write_private(file, key_pem(ec.generate_private_key(ec.SECP256R1())))
    tables = {
        "fcm": {"service_account_file": account, "url": stub.url, "ca_file": stub.tls.ca_file},
        "apns": {
            "key_file": p8,
            "key_id": "BENCHKEY01",
            "team_id": "BENCHTEAM1",
            "topic": "org.example.bench",
            "url": stub.url,
            "ca_file": stub.tls.ca_file,
        },
        "web_push": {
            "private_key": vapid,
            "subject": "mailto:bench@example.org",
            "ca_file": stub.tls.ca_file,
            "allow_origins": stub.url,
        },
    }
    return "\n".join(
        line
        for name, values in tables.items()
        for line in (f"[{name}.default]", *(f"{key} = {json.dumps(str(value))}" for key, value in values.items()), "")
    )
