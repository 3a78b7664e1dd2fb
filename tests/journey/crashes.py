"""Processes that are told to die at a named place, and one task at a time in a process of its own.

The tasks are Celery's, without a Celery worker around them: nothing of it is in what they do, and it takes seconds to
start. `start_again` brings up what production runs, which has to mend what they left.
"""

import signal
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from simulator.services import PushServices
from simulator.services.configured import write_credentials
from tests import servers
from tests.delivery.mqtt import Listener
from tests.journey.api import Api
from tests.journey.production import PYTHON, Production, Record
from tests.processes import Process, free_port, spawn

SERVICES = ("fcm", "apns", "wns", "web_push")
COUNTING = (*SERVICES, "mqtt")
"""Providers that say what they got."""
PROVIDERS = (*COUNTING, "simulation")
SETTINGS = {
    "WEB_WORKERS": "1",
    "SIMULATION_PROFILE": "ideal",
    "SIMULATION_ACK_RATE": "0",
    "DEFAULT_TTL_S": "3600",
}
"""Devices of the built-in providers ack when the test says so."""


class Crashes:
    """A migrated database, the push services and a broker, one web process, and nobody who works through queues."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis: servers.Redis,
        broker: servers.Mqtt,
        services: PushServices,
        settings: Mapping[str, str],
    ) -> None:
        self.credentials_file = folder / "credentials.toml"
        write_credentials(self.credentials_file, services.describe(), services.home)
        settings = {**SETTINGS, "CREDENTIALS_FILE": str(self.credentials_file), **settings}
        urls = {"database_url": database_url, "redis_url": redis.url, "mqtt_url": broker.url}
        self.production = Production(folder, **urls, settings=settings)
        self.services = services
        self.api = self.production.prepare(1)
        self.record = Record(database_url)
        self.notifications = Listener(broker.url)

    def __enter__(self) -> Self:
        self.notifications.__enter__()
        self.production.start("web").wait_for_url(f"{self.production.url}/livez")
        return self

    def __exit__(self, *error: Any) -> None:
        self.production.__exit__(*error)
        self.notifications.__exit__(*error)
        self.record.close()

    @cached_property
    def bootstrap_key(self) -> str:
        return (self.production.folder / "bootstrap-key").read_text(encoding="utf-8").strip()

    def device(self, name: str, provider: str = "") -> Api:
        """A new device with a channel of this provider, or with its inbox alone."""
        device = self.api.provision("site-001", self.bootstrap_key, name)
        if provider:
            address = f"simulated:{device.device_id}" if provider == "simulation" else device.device_id
            if provider in SERVICES:
                address = self.services.services[provider].new_address()
            answer = device.call("PUT", f"/devices/{device.device_id}/channels/{provider}", {"address": address})
            assert answer.status in (200, 201), answer
        return device

    def doomed_web(self, crash_at: str) -> "DoomedWeb":
        port = free_port()
        process = self.production.start("web", instance=f"web-{crash_at}", PORT=str(port), CRASH_AT=crash_at)
        return DoomedWeb(process, f"http://127.0.0.1:{port}")

    def task(self, call: str, crash_at: str = "") -> Process:
        """Run one task, such as `send('fcm')`, in a new process."""
        name = f"task-{crash_at.replace(':', '-')}-{call.replace(chr(39), '')}"
        script = f"from delivery import tasks; tasks.{call}"
        command: list[str | Path] = [PYTHON, "manage.py", "shell", "-v", "0", "-c", script]
        env = {**self.production.env, "CRASH_AT": crash_at}
        return spawn(name, command, folder=self.production.folder, env=env)

    def dies(self, call: str, crash_at: str) -> bool:
        """Whether the task's process died there."""
        return self.task(call, crash_at).wait() == -signal.SIGKILL

    def end_leases(self) -> None:
        """The leases of the dead are over now, not in a minute."""
        self.record.execute("UPDATE push_notification_logs SET claimed_until = now() WHERE claim_token IS NOT NULL")
        self.record.execute("UPDATE delivery_claim SET claimed_until = now()")

    def start_again(self, *providers: str) -> Process:
        """A worker for the queues of all providers and these, beat, and the consumer of acks; the worker."""
        queues = ",".join(["fanout", "maintenance", *(f"push.{provider}" for provider in (*PROVIDERS, *providers))])
        options = ["--queues", queues, "--concurrency", "2", "--without-mingle", "--without-gossip"]
        command: list[str | Path] = [PYTHON.parent / "celery", "-A", "celery_app", "worker", *options]
        worker = spawn("worker", command, folder=self.production.folder, env=self.production.env)
        self.production.processes["worker"] = worker
        self.production.start("beat")
        self.production.start("mqtt_acks")
        return worker

    def sends(self, provider: str, message_id: str) -> int:
        """How often this message reached its provider, as that itself counts."""
        if provider == "mqtt":
            return self.notifications.message_ids(0).count(message_id)
        return self.services.services[provider].deliveries.counts[message_id]


class DoomedWeb:
    """A web process that dies where it was told to."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    def ready(self) -> str:
        """Its URL, once it answers."""
        self.process.wait_for_url(f"{self.url}/livez")
        return self.url

    def died(self) -> bool:
        return self.process.wait() == -signal.SIGKILL
