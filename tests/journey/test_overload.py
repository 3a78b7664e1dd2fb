"""More than one web process can do: who is served, who is told to come back, and that it ends well."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest

from tests import servers
from tests.journey.api import Api, wait_until
from tests.journey.production import Production, Record
from tests.journey.storm import Ask, Storm, always, sent_messages, single_acks

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SETTINGS = {"WEB_WORKERS": "1", "RATE_LIMIT_FACTOR": "10000", "INTAKE_LIMIT_S": "5"}
FLOOD_S = 8.0
TTL_S = 15
ACKING, REGISTERING, READING = 20, 20, 200
"""Clients. As many acks as one process can take at once, and ten times as many reads."""
LARGEST_GROWTH = 1.5


@dataclass
class World:
    production: Production
    api: Api
    device: Api
    key: str


@pytest.fixture(scope="module")
def world(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("overload")
    with ExitStack() as stack:
        redis = stack.enter_context(servers.Redis())
        broker = stack.enter_context(servers.Mqtt())
        urls = {
            "database_url": postgres.create_database("overload"),
            "redis_url": redis.url,
            "mqtt_url": broker.url,
        }
        production = stack.enter_context(Production(folder, **urls, settings=SETTINGS))
        api = production.prepare(1)
        production.start("web").wait_for_url(f"{production.url}/livez")
        bootstrap_key = (folder / "bootstrap-key").read_text(encoding="utf-8").strip()
        device = api.provision("site-001", bootstrap_key, "till 1")
        yield World(production, api, device, (folder / "api-key").read_text(encoding="utf-8").strip())


def memory_bytes(process_id: int) -> int:
    family = [psutil.Process(process_id), *psutil.Process(process_id).children(recursive=True)]
    return sum(int(each.memory_info().rss) for each in family)


def test_acks_get_in_before_registrations_and_these_before_reads(world: World) -> None:
    web = world.production.processes["web"].pid
    bearer = {"Authorization": f"Bearer {world.key}"}
    address = {"address": f"address-{world.device.device_id}"}
    path = f"/api/v1/devices/{world.device.device_id}/channels/simulation"
    storm = Storm(world.production.url)
    storm.add(ACKING, single_acks(deque(sent_messages(world.production.database_url, 20_000))))
    storm.add(REGISTERING, always(Ask("registration", "PUT", path, address, bearer)))
    storm.add(READING, always(Ask("read", "GET", "/api/v1/devices", headers=bearer)))
    before = memory_bytes(web)

    storm.run_for(FLOOD_S)

    assert storm.refused_share("ack") == 0
    assert storm.refused_share("registration") < storm.refused_share("read")
    assert {said.status for said in storm.said} <= {200, 201, 503}
    assert [said for said in storm.said if said.status == 503 and not said.retry_after] == []
    assert storm.acknowledged()
    assert storm.acknowledged() <= delivered(world)
    assert memory_bytes(web) < LARGEST_GROWTH * before


def delivered(world: World) -> set[str]:
    record = Record(world.production.database_url)
    try:
        rows = record.rows("SELECT message_id::text AS id FROM push_notification_logs WHERE status = 'delivered'")
        return {row["id"] for row in rows}
    finally:
        record.close()


def test_orders_are_refused_while_earlier_ones_wait_and_what_expired_is_never_sent(world: World) -> None:
    device_id = world.device.device_id
    address = {"address": f"address-{device_id}"}
    assert world.device.call("PUT", f"/devices/{device_id}/channels/simulation", address).status in (200, 201)
    for name in ("fanout", "maintenance"):
        world.production.start(name).wait_for_line(" ready.")
    job_ids = [world.api.order({"devices": [device_id]}, ttl_seconds=TTL_S) for _ in range(10)]
    world.production.start("beat")

    wait_until(lambda: ordered(world, device_id) == 429, "refusal of an order")
    for job_id in job_ids:
        world.api.wait_for_job(job_id, "completed", TTL_S + 30)
    world.production.start("simulation").wait_for_line(" ready.")
    wait_until(lambda: ordered(world, device_id) == 202, "order that is taken")

    record = Record(world.production.database_url)
    ends = record.rows("SELECT DISTINCT status, sent_at FROM push_notification_logs WHERE job_id = ANY(%s)", job_ids)
    record.close()
    assert ends == [{"status": "expired", "sent_at": None}]


def ordered(world: World, device_id: str) -> int:
    push = {"title": "New prices", "ttl_seconds": TTL_S}
    body = {"name": "One more", "target": {"devices": [device_id]}, "push_notification": push}
    return world.api.call("POST", "/jobs", body).status


def test_the_web_answers_at_once_when_the_flood_is_over(world: World) -> None:
    assert world.api.call("GET", "/devices").status == 200
