"""The product for an agent to live with: web, one worker for all queues, beat, the consumer of acks, FCM beside them.

Nothing here knows pytest or Django.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.services.fcm import EmulatedFcm
from simulator.services.hosting import running
from tests import servers
from tests.journey.api import Api, wait_until
from tests.journey.production import PYTHON, Production, Record
from tests.processes import spawn

SITE = "site-001"
QUEUES = "fanout,maintenance,push.mqtt,push.fcm,push.simulation"
SETTINGS = {"WEB_WORKERS": "1", "DEFAULT_TTL_S": "600"}


@dataclass
class World:
    production: Production
    api: Api
    record: Record
    broker: servers.Mqtt
    fcm: EmulatedFcm
    bootstrap_key: str

    def push(self, device_id: str, title: str) -> str:
        """Order a message for one device; its id."""
        answer = self.api.call("POST", "/push/send", {"device_id": device_id, "title": title, "body": "for you"})
        assert (answer.status, answer.body.get("success")) == (200, True), answer
        return str(answer.body["message_id"])

    def messages(self, device_id: str) -> list[dict[str, Any]]:
        return self.record.rows("SELECT * FROM push_notification_logs WHERE device_id = %s ORDER BY id", device_id)

    def wait_until_delivered(self, device_id: str, count: int, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """The messages of a device, once so many are delivered."""

        def delivered() -> bool:
            return [row["status"] for row in self.messages(device_id)].count("delivered") >= count

        wait_until(delivered, f"{count} delivered messages", timeout_s, lambda: self.messages(device_id))
        return self.messages(device_id)


@contextmanager
def running_world(folder: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with servers.Mqtt() as broker, running(EmulatedFcm()) as fcm:
        credentials = folder / "credentials.toml"
        table = {"url": fcm.url, "ca_file": str(fcm.ca_file), **fcm.describe()}
        lines = ["[fcm.default]", *(f"{key} = {json.dumps(str(value))}" for key, value in table.items())]
        credentials.write_text("\n".join(lines), encoding="utf-8")
        urls = {"database_url": database_url, "redis_url": redis_url, "mqtt_url": broker.url}
        settings = {**SETTINGS, "CREDENTIALS_FILE": str(credentials)}
        with Production(folder, **urls, settings=settings) as production:
            api = production.prepare(1)
            for name in ("web", "beat", "mqtt_acks"):
                production.start(name)
            _start_worker(production)
            production.processes["web"].wait_for_url(f"{production.url}/livez")
            production.processes["worker"].wait_for_line(" ready.")
            record = Record(database_url)
            key = (folder / "bootstrap-key").read_text(encoding="utf-8").strip()
            try:
                yield World(production, api, record, broker, fcm, key)
            finally:
                record.close()


def _start_worker(production: Production) -> None:
    options = ["--queues", QUEUES, "--concurrency", "2", "--without-mingle", "--without-gossip"]
    command: list[str | Path] = [PYTHON.parent / "celery", "-A", "celery_app", "worker", *options]
    production.processes["worker"] = spawn("worker", command, folder=production.folder, env=production.env)
