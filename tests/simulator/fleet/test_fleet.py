"""A whole fleet: `manage.py simulate` as its own process, against HTTP and MQTT on real sockets."""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiomqtt
import pytest

from simulator.fleet import ledger
from simulator.fleet.device import PUSH_SERVICES
from simulator.fleet.listening import Broker
from simulator.fleet.plan import places, read_channels
from simulator.services import PushServices
from tests.processes import Process, spawn
from tests.servers import Mqtt
from tests.simulator.fleet import product
from tests.simulator.fleet.conftest import until
from tests.simulator.fleet.stand_in import API_KEY, BOOTSTRAP_KEY, StandIn


@pytest.fixture
def var(tmp_path: Path) -> Path:
    (tmp_path / "bootstrap-key").write_text(BOOTSTRAP_KEY)
    (tmp_path / "api-key").write_text(API_KEY)
    return tmp_path


SOON_S = 8.0
"""Well before a supervisor that stopped it would kill it, also on a busy machine."""
CHANNELS = "mqtt:1,simulation:1,inbox:1"
PLANNED = Counter(place.channel for place in places(18, 2, read_channels(CHANNELS), 0.5))
LISTENING, POLLING = PLANNED["mqtt"], PLANNED["inbox"]
PUSHED = PLANNED["mqtt"] + PLANNED["simulation"]


@contextmanager
def fleet(var: Path, stand_in: StandIn, broker: Mqtt, *options: str) -> Iterator[Process]:
    """Eighteen devices of all kinds on two sites; ended at the latest here."""
    command = ["manage.py", "simulate", "--devices", "18", "--sites", "2", "--channels", CHANNELS, "--network", "ideal"]
    quick = ["--jobs-every", "0.2", "--heartbeat", "1", "--poll", "1", "--server", stand_in.url]
    where = ["--mqtt", broker.url, "--var", str(var)]
    process = spawn("fleet", [sys.executable, *command, *quick, *where, *options], folder=var)
    try:
        yield process
    finally:
        process.kill()


async def push(broker: Mqtt, device_ids: list[str], *message_ids: str) -> None:
    address = Broker.from_url(broker.url)
    async with aiomqtt.Client(
        address.host, address.port, username=address.user, password=address.password
    ) as publisher:
        for message_id in message_ids:
            for device_id in device_ids:
                message = {"message_id": f"{message_id}-{device_id}", "ack_token": "token"}
                await publisher.publish(f"devices/{device_id}/notifications", json.dumps(message), qos=1)


def counts(var: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((var / "fleet-counts.json").read_text())
    return read


@pytest.mark.parametrize("options", [[], ["--mqtt-connections", "2", "--ack-batch", "100"]])
def test_each_message_is_received_and_acked_once_and_counted(var: Path, mqtt_broker: Mqtt, options: list[str]) -> None:
    async def run() -> list[str]:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker, "--mqtt-acks", "0", *options) as process:
                await until(lambda: f"({LISTENING} connected)" in process.output())
                listening = [device_id for device_id, provider in stand_in.channels.items() if provider == "mqtt"]
                await push(mqtt_broker, listening, "m-1", "m-2", "m-1")
                await until(lambda: len(stand_in.acks) == 2 * LISTENING)
                await until(lambda: f"acked {2 * LISTENING}, on their way 0" in process.output())
                await asyncio.to_thread(process.stop)
            return listening

    listening = asyncio.run(run())

    assert counts(var)["totals"] == {"received": 2 * LISTENING, "duplicates": LISTENING, "acked": 2 * LISTENING}
    assert {counts(var)["devices"][device_id]["acked"] for device_id in listening} == {2}


def test_notes_each_push_and_each_confirmed_ack_and_counts_the_answers(var: Path, mqtt_broker: Mqtt) -> None:
    async def run() -> list[str]:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker, "--mqtt-acks", "0", "--ledger", str(var / "ledger")) as process:
                await until(lambda: f"({LISTENING} connected)" in process.output())
                listening = [device_id for device_id, provider in stand_in.channels.items() if provider == "mqtt"]
                await push(mqtt_broker, listening, "m-1", "m-1")
                await until(lambda: f"acked {LISTENING}, on their way 0" in process.output())
                await asyncio.to_thread(process.stop)
            return listening

    listening = asyncio.run(run())

    told = Counter((note["what"], note["by"], note["message_id"]) for note in ledger.read(var / "ledger"))
    expected = {("pushed", "mqtt", f"m-1-{device_id}"): 2 for device_id in listening}
    assert told == expected | {("acked", "http", f"m-1-{device_id}"): 1 for device_id in listening}
    assert counts(var)["answers"].keys() <= {"200", "201", "202"}
    assert counts(var)["answers"]["200"] >= LISTENING


def test_a_device_without_push_finds_its_messages_in_the_inbox(var: Path, mqtt_broker: Mqtt) -> None:
    async def run() -> None:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker) as process:
                await until(lambda: len(stand_in.channels) == PUSHED and len(stand_in.devices) == 18)
                for device_id in stand_in.devices.keys() - stand_in.channels.keys():
                    stand_in.inboxes[device_id] = [{"message_id": f"m-{device_id}", "payload": {"title": "Hello"}}]
                await until(lambda: f"acked {POLLING}, on their way 0" in process.output())

    asyncio.run(run())

    assert counts(var)["totals"] == {"received": POLLING, "duplicates": 0, "acked": POLLING}


@pytest.mark.parametrize("options", [[], ["--mqtt-connections", "2"]])
def test_devices_find_in_the_inbox_what_a_killed_broker_forgot(var: Path, options: list[str]) -> None:
    async def run(broker: Mqtt) -> None:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, broker, "--mqtt-acks", "0", *options) as process:
                await until(lambda: f"({LISTENING} connected)" in process.output())
                broker.kill()
                for device_id, provider in stand_in.channels.items():
                    if provider == "mqtt":
                        stand_in.inboxes[device_id] = [{"message_id": f"m-{device_id}", "payload": {"title": "Hello"}}]
                await asyncio.to_thread(broker.start)
                await until(lambda: len(stand_in.acks) == LISTENING)
                await asyncio.to_thread(process.stop)

    with Mqtt() as broker:
        asyncio.run(run(broker))

    assert counts(var)["totals"] == {"received": LISTENING, "duplicates": 0, "acked": LISTENING}


def test_each_push_service_hands_its_devices_their_messages(
    var: Path, mqtt_broker: Mqtt, services: PushServices
) -> None:
    options = ["--channels", ",".join(PUSH_SERVICES), "--push-services", str(services.home)]

    async def run() -> None:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker, *options) as process:
                await until(lambda: "18 push services (18 online)" in process.output())
                for service, config in product.credentials(services).items():
                    registered = [said for (_, name), said in stand_in.registered.items() if name == service]
                    messages = [product.message(said["address"], str(uuid4())) for said in registered]
                    await product.send(config, service, messages)
                await until(lambda: "acked 18, on their way 0" in process.output())
                await asyncio.to_thread(process.stop)

    asyncio.run(run())

    assert counts(var)["totals"] == {"received": 18, "duplicates": 0, "acked": 18}
    assert {numbers["acked"] for numbers in counts(var)["devices"].values()} == {1}


def test_devices_beat_and_jobs_are_ordered(var: Path, mqtt_broker: Mqtt) -> None:
    async def run() -> set[str]:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker):
                await until(lambda: stand_in.requests["/agent/heartbeat"] > 3 * 18 and len(stand_in.jobs) > 3)
            return {site_id for job in stand_in.jobs.values() for site_id in job["target"]["sites"]}

    assert asyncio.run(run()) <= {"site-001", "site-002"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_soon_with_its_counts_written(var: Path, mqtt_broker: Mqtt, number: signal.Signals) -> None:
    async def run() -> tuple[int, float]:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker) as process:
                await until(lambda: len(stand_in.channels) == PUSHED)
                return await timed_stop(process, number)

    status, took_s = asyncio.run(run())

    assert status == 0
    assert took_s < SOON_S
    assert counts(var)["totals"]["received"] == 0


def test_stops_soon_while_nothing_answers(var: Path, mqtt_broker: Mqtt) -> None:
    async def run() -> tuple[int, float]:
        async with StandIn() as stand_in:
            with fleet(var, stand_in, mqtt_broker) as process:
                await until(lambda: len(stand_in.channels) == PUSHED)
                stand_in.requests.clear()
                stand_in.hangs = True
                await until(lambda: stand_in.requests.total() > 0)
                return await timed_stop(process, signal.SIGTERM)

    status, took_s = asyncio.run(run())

    assert status == 0
    assert took_s < SOON_S


async def timed_stop(process: Process, number: signal.Signals) -> tuple[int, float]:
    began = time.monotonic()
    status = await asyncio.to_thread(process.stop, number)
    return status, time.monotonic() - began
