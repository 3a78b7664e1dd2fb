"""PostgreSQL restarted, read-only or on a full disk under acks and sends: what was answered 200 is there, what was not
is 503 with Retry-After, and our processes go on by themselves."""

import json
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from paho.mqtt import publish

from delivery import ack_tokens
from tests import servers
from tests.delivery.mqtt import Listener
from tests.journey.api import Api, wait_until
from tests.journey.production import Production, Record
from tests.journey.small_disk import NoSmallDisk, move_tables, small_disk
from tests.journey.storm import Storm, batched_acks, sent_messages, single_acks

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SETTINGS = {"SIMULATION_PROFILE": "ideal", "WEB_WORKERS": "1", "RATE_LIMIT_FACTOR": "1000"}
PROCESSES = ("fanout", "maintenance", "simulation")
LATER_S = 60
LONGEST_ANSWER_S = 30.0


@dataclass
class World:
    production: Production
    postgres: servers.Postgres
    api: Api
    bootstrap_key: str

    def messages(self, count: int) -> list[tuple[str, str]]:
        return sent_messages(self.postgres.url, count)

    def delivered(self) -> set[str]:
        found = self.record("SELECT message_id::text FROM push_notification_logs WHERE status = 'delivered'")
        return {row[0] for row in found}

    def record(self, sql: str) -> list[tuple[str, ...]]:
        with psycopg.connect(self.postgres.url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def tell(self, sql: str) -> None:
        with psycopg.connect(self.postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.encode())

    def ack_over_mqtt(self, messages: list[tuple[str, str]]) -> None:
        broker = urlsplit(self.production.env["MQTT_URL"])
        keys = [self.production.env["SECRET_KEY"]]
        acks = [
            {
                "topic": f"devices/{device_id}/acks",
                "payload": json.dumps({"message_id": key, "ack_token": ack_tokens.sign(key, device_id, keys)}),
                "qos": 1,
            }
            for key, device_id in messages
        ]
        login = {"username": broker.username, "password": broker.password}
        publish.multiple(acks, hostname=str(broker.hostname), port=broker.port, auth=login)  # type: ignore[arg-type]

    def order(self) -> str:
        """A message for a device of the simulation; the job's id."""
        device = self.api.provision("site-001", self.bootstrap_key, f"till {time.monotonic()}")
        address = {"address": f"address-{device.device_id}"}
        assert device.call("PUT", f"/devices/{device.device_id}/channels/simulation", address).status in (200, 201)
        return self.api.order({"devices": [device.device_id]})

    def assert_all_alive(self) -> None:
        assert [name for name, process in self.production.processes.items() if not process.alive] == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("trouble")
    with ExitStack() as stack:
        postgres = stack.enter_context(servers.Postgres())
        redis = stack.enter_context(servers.Redis())
        broker = stack.enter_context(servers.Mqtt())
        urls = {"database_url": postgres.url, "redis_url": redis.url, "mqtt_url": broker.url}
        production = stack.enter_context(Production(folder, **urls, settings=SETTINGS))
        api = production.prepare(1)
        production.start_all(*PROCESSES)
        found = World(production, postgres, api, (folder / "bootstrap-key").read_text(encoding="utf-8").strip())
        found.order()
        yield found


def assert_clean(storm: Storm) -> None:
    """Nothing but 200 and 503 with Retry-After was answered, and each question was, in time."""
    assert {said.status for said in storm.said} <= {200, 503}
    assert [said for said in storm.said if said.status == 503 and not said.retry_after] == []
    assert max(said.took_s for said in storm.said) < LONGEST_ANSWER_S


def test_an_immediate_restart_loses_no_ack_that_was_answered_200(world: World) -> None:
    messages = world.messages(6_000)
    over_mqtt, left = messages[:400], deque(messages[400:])
    storm = Storm(world.production.url)
    storm.add(6, single_acks(left))
    storm.add(2, batched_acks(left))

    with Listener(world.production.env["MQTT_URL"], "devices/+/acks/done") as done, storm.blowing():
        for part in (over_mqtt[:200], over_mqtt[200:]):
            enough, refused = len(storm.acknowledged()) + 100, storm.statuses("ack")[503]
            wait_until(lambda enough=enough: len(storm.acknowledged()) >= enough, "acks")  # type: ignore[misc]
            assert world.postgres.process is not None
            world.postgres.process.stop(signal.SIGQUIT)
            world.ack_over_mqtt(part)
            wait_until(lambda refused=refused: storm.statuses("ack")[503] > refused, "answer 503")  # type: ignore[misc]
            world.postgres.start()
        wait_until(lambda: not left, "end of the acks over HTTP", LATER_S)
        wait_until(lambda: {key for key, _ in over_mqtt} <= world.delivered(), "acks over MQTT", LATER_S)
        confirmed = {key for payload in done.payloads(1) for key in payload["message_ids"]}

    assert_clean(storm)
    assert storm.acknowledged() | confirmed <= world.delivered()
    world.assert_all_alive()


def test_a_read_only_database_is_503_for_writes_and_all_goes_on_afterwards(world: World) -> None:
    messages = world.messages(600)
    over_mqtt, left = messages[:100], deque(messages[100:])
    storm = Storm(world.production.url)
    storm.add(4, single_acks(left))
    storm.add(1, batched_acks(left))
    before = world.delivered()

    with storm.blowing():
        world.tell("ALTER SYSTEM SET default_transaction_read_only = on")
        world.tell("SELECT pg_reload_conf()")
        wait_until(lambda: storm.statuses("ack")[503] > 20, "refusals")
        world.ack_over_mqtt(over_mqtt)
        refused = world.api.call("POST", "/jobs", JOB)
        page = world.api.call("GET", "/jobs")
        time.sleep(2)
        world.tell("ALTER SYSTEM RESET default_transaction_read_only")
        world.tell("SELECT pg_reload_conf()")
        wait_until(lambda: not left, "end of the acks over HTTP", LATER_S)
        wait_until(lambda: {key for key, _ in over_mqtt} <= world.delivered(), "acks over MQTT", LATER_S)

    assert_clean(storm)
    assert (refused.status, page.status) == (503, 200)
    assert storm.acknowledged() <= world.delivered() - before
    world.api.wait_for_job(world.order(), "acknowledged", LATER_S)
    world.assert_all_alive()


JOB = {"name": "New prices", "target": {"all": True}, "push_notification": {"title": "New prices"}}


def test_a_full_disk_is_503_for_writes_and_all_goes_on_afterwards(world: World, tmp_path: Path) -> None:
    messages = world.messages(1200)
    over_mqtt, left = messages[:100], deque(messages[100:])
    storm = Storm(world.production.url)
    storm.add(4, single_acks(left))
    storm.add(1, batched_acks(left))
    folder = world.postgres.folder / "small"
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(folder, 16))
        except NoSmallDisk as reason:
            pytest.skip(str(reason))
        stack.callback(world.postgres.stop)
        move_tables(world.postgres.url, folder)
        disk.fill()
        with storm.blowing():
            wait_until(lambda: storm.statuses("ack")[503] > 20, "refusals", LATER_S)
            world.ack_over_mqtt(over_mqtt)
            page = world.api.call("GET", "/jobs")
            sent = sent_count(world)
            time.sleep(3)
            assert sent_count(world) == sent
            disk.free()
            wait_until(lambda: not left, "end of the acks over HTTP", LATER_S)
            wait_until(lambda: {key for key, _ in over_mqtt} <= world.delivered(), "acks over MQTT", LATER_S)

        assert_clean(storm)
        assert page.status == 200
        assert storm.acknowledged() <= world.delivered()
        world.api.wait_for_job(world.order(), "acknowledged", LATER_S)
        world.assert_all_alive()


def sent_count(world: World) -> int:
    record = Record(world.postgres.url)
    try:
        return record.number("SELECT count(*) FROM push_notification_logs WHERE sent_at IS NOT NULL")
    finally:
        record.close()
