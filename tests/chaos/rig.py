"""Everything that a message passes, as real processes on ports of their own, ready to be hurt."""

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests import servers
from tests.chaos import transitions
from tests.chaos.push_services import PushServices
from tests.journey.api import Api
from tests.journey.fleet import Fleet
from tests.journey.production import Production, Record
from tests.processes import Process

T = TypeVar("T")
PROVIDERS = ("fcm", "apns", "wns", "web_push", "mqtt")
WORKERS = ("fanout", "maintenance", *PROVIDERS)
OTHERS = ("beat", "mqtt_acks")
READY_LINES = {**dict.fromkeys(WORKERS, " ready."), "mqtt_acks": "taking acks", "beat": " is starting."}
CHANNELS = "fcm:0.2,apns:0.2,wns:0.2,web_push:0.2,mqtt:0.2"
SITES = 10
MOST_DEVICES = 2_000
"""More messages are several jobs for the same devices, as in production."""
START_S = 120.0
PROCESSES_PER_WORKER = 2
"""What the Procfile gives a worker."""
LEASE_S = 18
SETTINGS = {
    "SEND_DEADLINE_S": "4",
    "BATCH_BUDGET_S": "7",
    "TASK_LIMIT_S": "8",
    "LEASE_S": str(LEASE_S),
}
"""The lease as short as its rule allows, so that what a killed worker held comes back soon."""


class Rig:
    """As a context manager it starts everything, and stops everything at the end. `folder` keeps all logs."""

    def __init__(
        self,
        folder: Path,
        *,
        devices: int,
        settings: Mapping[str, str],
        sites: int = SITES,
        channels: str = CHANNELS,
        fleet_options: Mapping[str, object] | None = None,
    ) -> None:
        self.folder = folder
        self._sites, self._channels, self._fleet_options = sites, channels, fleet_options
        self.device_count = min(devices, MOST_DEVICES)
        self.settings = {**SETTINGS, **settings}
        self.postgres = servers.Postgres(folder)
        self.redis = servers.Redis(folder)
        self.mqtt = servers.Mqtt(folder)
        self.services = PushServices(folder)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        began = time.monotonic()
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        say(f"{self.device_count} devices and {len(self.production.processes)} processes, ready after {since(began)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def use(self, context: AbstractContextManager[T]) -> T:
        """Something of a case's own, until the rig ends."""
        return self._stack.enter_context(context)

    def _kill_all(self) -> None:
        """Nothing is left to be finished: the verdict is known."""
        for process in self.production.processes.values():
            process.kill()

    def _start(self) -> None:
        for server in (self.postgres, self.redis, self.mqtt):
            self._stack.enter_context(server)
        self._stack.callback(self.services.stop)
        self.services.start()
        urls = {"database_url": self.postgres.url, "redis_url": self.redis.url, "mqtt_url": self.mqtt.url}
        settings = {**self.settings, "CREDENTIALS_FILE": str(self.services.credentials_file)}
        self.production = self._stack.enter_context(Production(self.folder, **urls, settings=settings))
        self._stack.callback(self._kill_all)
        self.api: Api = self.production.prepare(self._sites)
        self.record = Record(self.postgres.url)
        self._stack.callback(self.record.close)
        transitions.install(self.record)
        self.fleet = Fleet(
            self.production,
            "fleet",
            devices=self.device_count,
            sites=self._sites,
            channels=self._channels,
            push_services=self.services.home,
            more=self._fleet_options,
        )
        self._stack.callback(self.fleet.process.kill)
        for name in ("web", *WORKERS, *OTHERS):
            self.production.start(name)
        for name in ("web", *WORKERS, *OTHERS):
            self.wait_until_ready(name)
        self.fleet.wait_until_connected(START_S)
        self.device_ids = list(self.fleet.devices())

    # --- processes by name: web, the workers, beat, mqtt_acks

    def process(self, name: str) -> Process:
        return self.production.processes[name]

    def kill(self, name: str) -> None:
        """The whole process group with -9, parent and children."""
        self.process(name).kill()

    def start(self, name: str) -> None:
        """Start it again, as a process manager would; returns at once."""
        self.production.start(name)

    def wait_until_ready(self, name: str, timeout_s: float = START_S) -> None:
        if name == "web":
            self.process(name).wait_for_url(f"{self.production.url}/livez", timeout_s)
        else:
            self.process(name).wait_for_line(READY_LINES[name], timeout_s)

    def dead(self) -> list[str]:
        """Processes that should run and do not."""
        return [name for name, process in self.production.processes.items() if not process.alive]


def say(text: str) -> None:
    """Progress, for people."""
    print(f"  {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"
