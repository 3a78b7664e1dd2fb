"""A web server that dies after the commit, before the client has its answer: the client sends again."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests import servers
from tests.journey.api import Api, wait_until
from tests.journey.production import Production, Record

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]

START_S = 60.0
PUSH = {"title": "Hello", "body": "World"}
LINES = [{"type": "error", "message": "printer jammed"}] * 3


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: Any
    headers: Mapping[str, str]

    def open(self, port: int) -> socket.socket:
        """Send it, and leave the answer where it is."""
        body = json.dumps(self.body).encode()
        head = [f"{self.method} /api/v1{self.path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in self.headers.items())]
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        return connection

    def send(self, url: str) -> Any:
        return Api(url, headers=self.headers).call(self.method, self.path, self.body)


@dataclass
class World:
    production: Production
    record: Record
    calls: dict[str, Call]

    def counts(self) -> dict[str, int]:
        """How much there is of what the calls make."""
        return {
            table: self.record.number(f"SELECT count(*) FROM {table}")
            for table in (
                "delivery_job", "push_notification_logs", "push_delivery_logs", "delivery_device", "delivery_channel",
                "delivery_telemetrylog", "delivery_connectivity",
            )
        }  # fmt: skip


@pytest.fixture
def world(postgres: servers.Postgres, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("answers")
    url = postgres.create_database("answers")
    urls = {"database_url": url, "redis_url": redis_url, "mqtt_url": ""}
    with Production(folder, **urls, settings={"WEB_WORKERS": "1"}) as production:
        api = production.prepare(1)
        production.start("web").wait_for_url(f"{production.url}/livez", START_S)
        record = Record(url)
        key = (folder / "bootstrap-key").read_text(encoding="utf-8").strip()
        backend = {"Authorization": f"Bearer {(folder / 'api-key').read_text(encoding='utf-8').strip()}"}
        asked = {"site_id": "site-001", "bootstrap_key": key, "device_name": "Till 1"}
        given = api.call("POST", "/devices/bootstrap-provision", asked).body["data"]
        own = {"X-Device-ID": given["device_id"], "X-API-Key": given["api_key"]}
        till = Api(production.url, headers=own)
        message_id = api.call("POST", "/push/send", {"device_id": till.device_id, **PUSH}).body["message_id"]
        till.pending()
        yield World(production, record, _calls(till.device_id, own, backend, key, message_id))
        record.close()


def _calls(
    device_id: str, own: Mapping[str, str], backend: Mapping[str, str], bootstrap_key: str, message_id: str
) -> dict[str, Call]:
    named = {"Idempotency-Key": "k-1"}
    provision = {"site_id": "site-001", "bootstrap_key": bootstrap_key, "device_name": "Till 2"}
    job = {"name": "a", "target": {"devices": [device_id]}, "push_notification": PUSH}
    return {
        "job": Call("POST", "/jobs", job, {**backend, "Idempotency-Key": "k-2"}),
        "push": Call("POST", "/push/send", {"device_id": device_id, **PUSH}, {**backend, **named}),
        "ack": Call("POST", "/push/ack", {"message_id": message_id, "status": "delivered"}, own),
        "lines": Call("POST", "/telemetry/flush", LINES, {**own, **named}),
        "channel": Call("PUT", f"/devices/{device_id}/channels/simulation", {"address": "address-1"}, own),
        "heartbeat": Call("POST", "/agent/heartbeat", {"device_id": device_id, "status": "ONLINE"}, own),
        "provisioning": Call("POST", "/devices/bootstrap-provision", provision, {}),
    }


def test_each_call_has_acted_once_when_its_answer_comes_at_last(world: World) -> None:
    before = world.counts()
    wanted = {
        "delivery_job": 2, "push_notification_logs": 2, "push_delivery_logs": 1, "delivery_device": 1,
        "delivery_channel": 1, "delivery_telemetrylog": 3, "delivery_connectivity": 1,
    }  # fmt: skip
    with ExitStack() as unread:
        for call in world.calls.values():
            unread.enter_context(call.open(world.production.port))
        after = {table: count + wanted[table] for table, count in before.items()}
        wait_until(lambda: world.counts() == after, "commit of each", 30, world.counts)
        world.production.processes["web"].kill()
    world.production.start("web").wait_for_url(f"{world.production.url}/livez", START_S)

    answers = {name: call.send(world.production.url) for name, call in world.calls.items()}

    assert {name: answer.status for name, answer in answers.items() if answer.status not in (200, 202)} == {}
    assert answers["lines"].body == {"batch_id": "k-1", "saved_count": 3}
    assert world.counts() == after
    data = answers["provisioning"].body["data"]
    again = Api(world.production.url).as_device(data["device_id"], data["api_key"])
    assert again.call("GET", "/push/pending").status == 200, "the lost first key has locked the device out"
