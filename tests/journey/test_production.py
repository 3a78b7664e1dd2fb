"""A message's whole way in production mode: an order over HTTP, real processes and servers, devices that ack."""

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import redis

from analytics import latency
from simulator.fleet.plan import Place
from tests import servers
from tests.delivery.mqtt import Listener
from tests.journey.api import Api, wait_until
from tests.journey.fleet import Fleet
from tests.journey.production import WORKERS, Production, Record

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SITES = 4
DEVICES = 700
MIXED = 200
WORKER_PROCESSES = 2
EXTRA_SENDS_PER_PROCESS = 200
SETTINGS = {
    "SIMULATION_PROFILE": "ideal",
    "WEB_WORKERS": "1",
    "SEND_BATCH": "100",
    "SEND_DEADLINE_S": "4",
    "BATCH_BUDGET_S": "5",
    "TASK_LIMIT_S": "6",
    "LEASE_S": "16",
}
"""The lease as short as its rule allows, so that what a killed worker held comes back soon."""


@dataclass
class World:
    """Everything that runs, and the ways to ask it."""

    production: Production
    api: Api
    record: Record
    redis_port: int
    fleet: Fleet
    bootstrap_key: str
    mixed: dict[str, Place]
    """The devices of the great job, of every channel, by id."""
    tills: list[str]
    """MQTT devices that are not among them."""

    def device(self, name: str) -> Api:
        return self.api.provision("site-001", self.bootstrap_key, name)


@dataclass
class Journey:
    """The job for all mixed devices, after its end."""

    job: dict[str, Any]
    messages: list[dict[str, Any]]
    counts: dict[str, dict[str, int]]
    acks_over_mqtt: set[str]
    """Message ids that the consumer of acks confirmed."""


@pytest.fixture(scope="module")
def world(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("production")
    with servers.Redis() as own_redis, servers.Mqtt() as broker:
        database_url = postgres.create_database("journey")
        urls = {"database_url": database_url, "redis_url": own_redis.url, "mqtt_url": broker.url}
        with Production(folder, **urls, settings=SETTINGS) as production:
            api = production.prepare(SITES)
            production.start_all(*WORKERS)
            fleet = Fleet(
                production, "fleet", devices=DEVICES, sites=SITES, channels="mqtt:0.7,simulation:0.2,inbox:0.1"
            )
            record = Record(database_url)
            try:
                fleet.wait_until_connected()
                devices = list(fleet.devices().items())
                yield World(
                    production,
                    api,
                    record,
                    own_redis.port,
                    fleet,
                    bootstrap_key=(folder / "bootstrap-key").read_text(encoding="utf-8").strip(),
                    mixed=dict(devices[:MIXED]),
                    tills=[device_id for device_id, place in devices[MIXED:] if place.channel == "mqtt"],
                )
            finally:
                record.close()
                fleet.process.kill()


@pytest.fixture(scope="module")
def journey(world: World) -> Journey:
    with Listener(world.production.env["MQTT_URL"], "devices/+/acks/done") as done:
        job_id = world.api.order({"devices": list(world.mixed)})
        job = world.api.wait_for_job(job_id, "acknowledged", 60)
        confirmed = {message_id for payload in done.payloads(0) for message_id in payload["message_ids"]}
    return Journey(job, world.record.messages(job_id), world.fleet.counts(), confirmed)


def test_every_device_has_one_delivered_row_on_its_own_channel(world: World, journey: Journey) -> None:
    channels = {device_id: place.channel for device_id, place in world.mixed.items()}

    ways = {row["device_id"]: row["provider"] for row in journey.messages}

    assert Counter(row["status"] for row in journey.messages) == {"delivered": MIXED}
    assert ways == channels


def test_every_row_holds_all_times_in_order_and_is_held_by_nobody(journey: Journey) -> None:
    for row in journey.messages:
        assert row["created_at"] <= row["sent_at"] <= row["received_at"] <= row["acked_at"] < row["expires_at"], row
        assert row["latency_ms"] == pytest.approx((row["received_at"] - row["sent_at"]).total_seconds() * 1000, abs=1)
        assert not row["clock_skewed"]
        assert (row["expired_at"], row["opened_at"], row["error_code"]) == (None, None, "")
        assert (row["claim_token"], row["claimed_until"], row["next_attempt_at"]) == (None, None, None)
        assert row["attempt_count"] == (0 if row["provider"] == "inbox" else 1)


def test_every_message_has_one_receipt(world: World, journey: Journey) -> None:
    receipts = world.record.rows(
        "SELECT r.push_id, r.status FROM push_delivery_logs r"
        " JOIN push_notification_logs m ON m.message_id = r.push_id WHERE m.job_id = %s",
        journey.job["job_id"],
    )

    assert Counter((r["push_id"], r["status"]) for r in receipts) == Counter(
        (row["message_id"], "delivered") for row in journey.messages
    )


def test_every_device_counts_its_message_exactly_once(world: World, journey: Journey) -> None:
    counting = [device_id for device_id, place in world.mixed.items() if place.channel != "simulation"]

    counts = [journey.counts[device_id] for device_id in counting]

    assert counts == [{"received": 1, "duplicates": 0, "acked": 1}] * len(counting)


def test_half_of_the_mqtt_devices_acked_over_mqtt(world: World, journey: Journey) -> None:
    expected = [device_id for device_id, place in world.mixed.items() if place.acks_over_mqtt]

    owners = {str(row["message_id"]): row["device_id"] for row in journey.messages}

    assert sorted(owners[message_id] for message_id in journey.acks_over_mqtt) == sorted(expected)


def test_the_job_says_that_all_was_delivered(journey: Journey) -> None:
    parts = dict(journey.job["progress"])

    assert journey.job["fanned_out"] is True
    assert (parts.pop("targeted"), parts.pop("delivered")) == (MIXED, MIXED)
    assert set(parts.values()) == {0}


@pytest.mark.parametrize("channel", ["mqtt", "simulation", "inbox"])
def test_the_timeline_of_one_message_tells_its_way(world: World, journey: Journey, channel: str) -> None:
    row = next(row for row in journey.messages if row["provider"] == channel)

    message = world.api.get(f"/messages/{row['message_id']}")

    moments = [datetime.fromisoformat(event["at"]) for event in message["timeline"]]
    assert [event["what"] for event in message["timeline"]] == ["ordered", "sent", "received", "acked"]
    assert moments == sorted(moments)
    assert message["latency_ms"] == row["latency_ms"]


def test_a_device_without_any_push_channel_gets_its_message_by_asking(world: World) -> None:
    device = world.device("Till that only asks")
    job_id = world.api.order({"devices": [device.device_id]})
    wait_until(lambda: len(device.pending()) == 1, "message in the inbox")
    [push] = device.pending()

    answer = device.call("POST", "/push/ack", {"message_id": push["message_id"], "status": "delivered"})

    assert (answer.status, answer.body) == (200, {"status": "acknowledged"})
    assert device.pending() == []
    message = world.api.get(f"/messages/{push['message_id']}")
    assert (message["status"], message["provider"], message["late"]) == ("delivered", "inbox", False)
    assert push["payload"]["title"] == "New prices"
    world.api.wait_for_job(job_id, "acknowledged", 20)


def test_what_nobody_acks_expires_and_a_late_ack_makes_it_delivered_late(world: World) -> None:
    device = world.device("Till that acks late")
    job_id = world.api.order({"devices": [device.device_id]}, ttl_seconds=5)
    wait_until(lambda: len(device.pending()) == 1, "message in the inbox")
    [push] = device.pending()

    expired = world.api.wait_for_job(job_id, "completed", 30)
    answer = device.call("POST", "/push/ack", {"message_id": push["message_id"], "device_id": device.device_id})
    late = world.api.wait_for_job(job_id, "acknowledged", 20)

    assert (expired["progress"]["expired"], expired["progress"]["targeted"]) == (1, 1)
    assert answer.status == 200
    assert (late["progress"]["late"], late["progress"]["delivered"], late["progress"]["expired"]) == (1, 0, 0)
    message = world.api.get(f"/messages/{push['message_id']}")
    assert (message["status"], message["late"]) == ("delivered", True)
    assert [event["what"] for event in message["timeline"]][-1] == "acked"
    assert "expired" in [event["what"] for event in message["timeline"]]


def test_a_killed_worker_loses_nothing_and_repeats_less_than_the_bound(world: World) -> None:
    job_id = world.api.order({"devices": world.tills})
    wait_until(lambda: world.record.held(job_id) > 0, "first claim", pause_s=0.001)

    os.killpg(world.production.processes["mqtt"].pid, signal.SIGKILL)
    world.production.processes["mqtt"].kill()
    held = world.record.held(job_id)
    world.production.start("mqtt")
    world.api.wait_for_job(job_id, "acknowledged", 60)

    assert held > 0, "it had nothing left to do when it was killed"
    counts = world.fleet.counts()
    assert {counts[till]["received"] for till in world.tills} == {1}
    assert sum(counts[till]["duplicates"] for till in world.tills) <= WORKER_PROCESSES * EXTRA_SENDS_PER_PROCESS


def test_a_flushed_redis_loses_nothing(world: World) -> None:
    before = world.fleet.counts()
    job_id = world.api.order({"devices": world.tills})
    wait_until(lambda: world.record.held(job_id) > 0, "first claim", pause_s=0.001)

    with redis.Redis(port=world.redis_port) as client:
        client.flushall()
    left = world.record.count(job_id, "pending")
    world.api.wait_for_job(job_id, "acknowledged", 60)

    assert left > 0, "there was nothing left to do when Redis was flushed"
    after = world.fleet.counts()
    assert {after[till]["received"] - before[till]["received"] for till in world.tills} == {1}
    assert {after[till]["duplicates"] - before[till]["duplicates"] for till in world.tills} == {0}


def test_the_hourly_numbers_equal_a_recount_of_all_that_happened(world: World, journey: Journey) -> None:
    def found() -> object:
        return {"rollups": rollups(world.record), "recount": recount(world.record)}

    wait_until(
        lambda: rollups(world.record) == recount(world.record), "rollups that equal the rows", 40, found, pause_s=1
    )

    assert sum(numbers["delivered"] for numbers in rollups(world.record).values()) >= MIXED


ENDS = ("delivered", "late", "failed", "expired", "cancelled", "skipped")
COUNTED = ("ordered", *ENDS, "handed_over", "latency_sum_ms", "accepted")
Numbers = dict[tuple[datetime, str, str], dict[str, Any]]
"""By hour, site and provider."""


def rollups(record: Record) -> Numbers:
    return {
        (row["hour"], row["site_id"], row["provider"]): {
            **{name: row[name] for name in COUNTED},
            "latency": {int(bucket): held[0] for bucket, held in row["latency"].items()},
        }
        for row in record.rows("SELECT * FROM analytics_hourlyrollup")
    }


def recount(record: Record) -> Numbers:
    """The same from the raw rows, one by one."""
    numbers: Numbers = defaultdict(lambda: {**dict.fromkeys(COUNTED, 0), "latency": Counter()})
    for row in record.rows("SELECT * FROM push_notification_logs"):
        here = numbers[hour_of(row["created_at"]), row["site_id"], row["provider"]]
        here["ordered"] += 1
        end = "late" if row["status"] == "delivered" and row["expired_at"] else row["status"]
        if end in ENDS:
            here[end] += 1
        here["handed_over"] += row["sent_at"] is not None or row["status"] == "delivered"
        if row["sent_at"] is not None:
            numbers[hour_of(row["sent_at"]), row["site_id"], row["provider"]]["accepted"] += 1
        if end == "delivered" and row["latency_ms"] is not None:
            here["latency"][latency.bucket(row["latency_ms"])] += 1
            here["latency_sum_ms"] += row["latency_ms"]
    return dict(numbers)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
