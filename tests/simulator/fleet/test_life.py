"""What befalls simulated devices, and what they do besides their duty."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiomqtt
import pytest

from simulator.fleet.device import Device, Identity
from simulator.fleet.habits import HABITS, DeviceClock, Habits
from simulator.fleet.ledger import Ledger
from simulator.fleet.life import Life
from simulator.fleet.listening import Broker, Connection
from simulator.fleet.network import NETWORKS, Network
from simulator.fleet.plan import FIRMWARE, Place, places
from simulator.fleet.push_services import Addresses, PushStream
from simulator.fleet.registration import Registration
from simulator.fleet.roster import Roster
from simulator.fleet.server import Server
from simulator.fleet.spool import Spool
from simulator.fleet.troubles import Troubles
from simulator.services import PushServices
from tests.servers import Mqtt
from tests.simulator.fleet.conftest import IDEAL, served, until
from tests.simulator.fleet.stand_in import BOOTSTRAP_KEY

[PLACE] = places(1, 1, {"mqtt": 1}, 0.0)
OLD = next(
    place for place in places(50, 1, {"mqtt": 1}, 0.0) if place.model.firmware_version != place.model.newest_firmware
)
[PHONE] = places(1, 1, {"fcm": 1}, 0.0)
PATCHY = replace(IDEAL, offline_every_s=0.01, offline_for_s=0.05)


def a_device() -> Device:
    return Device(Identity(device_id="d-1", api_key="hp_1", site_id="site-001", name="Till 1", channel="mqtt"))


def life_of(
    server: Server,
    tmp_path: Path,
    *,
    network: Network = IDEAL,
    habits: Habits,
    ear: Connection | None = None,
    back: list[Device],
    home: Path | None = None,
) -> tuple[Life, Registration]:
    rng = Random(1)
    addresses = Addresses(home or tmp_path, rng)
    registration = Registration(server, Roster(tmp_path / "fleet"), addresses, BOOTSTRAP_KEY, check_known=False)
    stream = PushStream(tmp_path, rng, on_push=lambda *_: None, troubles=Troubles())
    life = Life(network, habits, rng, registration, stream, ear_of=lambda _: ear, on_back=back.append)
    return life, registration


def spool_of(server: Server, habits: Habits) -> Spool:
    async def publish(_device: Device, _topic: str, _payload: bytes) -> bool:
        return True

    return Spool(server, IDEAL, Random(1), batch=1, publish=publish, ledger=Ledger(None), habits=habits)


async def receive(spool: Spool, device: Device) -> None:
    give_up_at = asyncio.get_running_loop().time() + 60
    ack = device.receive({"message_id": "m-1", "ack_token": "token"}, pushed=True, give_up_at=give_up_at)
    assert ack is not None
    spool.add(ack)


def test_a_device_whose_network_went_leaves_the_broker_and_finds_its_messages_when_it_is_back(
    mqtt_broker: Mqtt, tmp_path: Path
) -> None:
    heard: list[object] = []
    back: list[Device] = []

    async def run() -> list[bool]:
        device = a_device()
        ear = Connection(
            *(Broker.from_url(mqtt_broker.url), "life-1", [device], asyncio.Semaphore(1), Random(1)),
            on_message=lambda _device, _topic, payload: heard.append(payload),
            on_open=lambda *_: None,
        )
        async with served() as (_, server):
            life, _ = life_of(server, tmp_path, network=PATCHY, habits=HABITS["calm"], ear=ear, back=back)
            listening = asyncio.create_task(ear.run())
            await until(lambda: ear.open)
            living = asyncio.create_task(life.live(device, PLACE))
            await until(lambda: device.away and not ear.open)
            open_while_away = ear.open
            broker = Broker.from_url(mqtt_broker.url)
            async with aiomqtt.Client(
                broker.host, broker.port, username=broker.user, password=broker.password
            ) as publisher:
                await publisher.publish("devices/d-1/notifications", b"{}", qos=1)
            await until(lambda: bool(back))
            living.cancel()
            await asyncio.wait([living])
            await until(lambda: ear.open and heard == [b"{}"])
            listening.cancel()
            await asyncio.wait([listening])
            return [open_while_away, device.away]

    assert asyncio.run(run()) == [False, False]


def test_a_rebooted_device_is_back_with_the_newest_firmware(tmp_path: Path) -> None:
    habits = Habits(reboot_every_s=0.01, reboot_takes_s=0.01)
    back: list[Device] = []

    async def run() -> str:
        async with served() as (stand_in, server):
            life, registration = life_of(server, tmp_path, habits=habits, back=back)
            device = Device(await registration.enrol(OLD))
            living = asyncio.create_task(life.live(device, OLD))
            await until(lambda: bool(back))
            living.cancel()
            await asyncio.wait([living])
            return str(stand_in.firmware[device.identity.device_id])

    assert asyncio.run(run()) == FIRMWARE[OLD.model.os_details][0] != OLD.model.firmware_version


def test_a_new_address_is_told_to_the_server_and_kept(tmp_path: Path, services: PushServices) -> None:
    async def run() -> tuple[str, str, str]:
        async with served() as (stand_in, server):
            life, registration = life_of(
                server, tmp_path, habits=Habits(new_address_every_s=0.01), back=[], home=services.home
            )
            device = Device(await registration.enrol(PHONE))
            before = device.identity.address
            living = asyncio.create_task(life.live(device, PHONE))
            await until(lambda: life.new_addresses > 0)
            living.cancel()
            await asyncio.wait([living])
            told = stand_in.registered[device.identity.device_id, "fcm"]["address"]
            return before, device.identity.address, told

    before, after, told = asyncio.run(run())

    kept = Roster(tmp_path / "fleet").find(PHONE.site_id, PHONE.name)
    assert before != after
    assert kept is not None
    assert told == kept.address == after


def test_an_ack_of_a_device_that_is_away_waits_until_it_is_back() -> None:
    async def run() -> tuple[int, int]:
        async with served() as (stand_in, server):
            spool, device = spool_of(server, HABITS["calm"]), a_device()
            sending = asyncio.create_task(spool.run())
            device.away = True
            await receive(spool, device)
            await asyncio.sleep(0.1)
            while_away = len(stand_in.acks)
            device.away = False
            spool.back(device)
            await until(lambda: device.acked == 1)
            sending.cancel()
            return while_away, len(stand_in.acks)

    assert asyncio.run(run()) == (0, 1)


def test_a_late_ack_tells_when_the_message_came() -> None:
    habits = Habits(late_acks=1, late_by_s=0.6)

    async def run() -> float:
        async with served() as (stand_in, server):
            spool, device = spool_of(server, habits), a_device()
            sending = asyncio.create_task(spool.run())
            came_at = datetime.now(UTC)
            await receive(spool, device)
            await until(lambda: device.acked == 1)
            sending.cancel()
            [ack] = stand_in.acks["m-1"]
            return (datetime.fromisoformat(ack["received_at"]) - came_at).total_seconds()

    assert 0 <= asyncio.run(run()) < 0.15


def test_some_acks_are_sent_twice_and_counted_once() -> None:
    async def run() -> tuple[int, int, int]:
        async with served() as (stand_in, server):
            spool, device = spool_of(server, Habits(duplicate_acks=1, repeated_within_s=0.05)), a_device()
            sending = asyncio.create_task(spool.run())
            await receive(spool, device)
            await until(lambda: len(stand_in.acks["m-1"]) == 2)
            sending.cancel()
            return device.acked, len(spool), spool.repeated

    assert asyncio.run(run()) == (1, 0, 1)


def test_the_habits_of_a_wild_fleet_put_half_of_its_clocks_wrong() -> None:
    rng = Random(1)

    off = [HABITS["wild"].clock(rng).now() - datetime.now(UTC) for _ in range(1_000)]

    wrong = [each for each in off if abs(each) > timedelta(seconds=1)]
    assert 450 < len(wrong) < 550
    assert max(abs(each) for each in wrong) <= timedelta(hours=1, seconds=1)


def test_a_clock_that_drifts_goes_on_drifting() -> None:
    clock = DeviceClock(off_s=10, drift_ppm=1e6)

    first = clock.now() - datetime.now(UTC)
    clock._started_s -= 60
    later = clock.now() - datetime.now(UTC)

    assert timedelta(seconds=59.5) < later - first < timedelta(seconds=60.5)


def test_a_fleet_has_old_firmware_too_and_the_same_on_every_run() -> None:
    fleet = list(places(1_000, 10, {"mqtt": 1}, 0.5))

    versions = Counter(FIRMWARE[place.model.os_details].index(place.model.firmware_version) for place in fleet)
    assert (versions[0], versions[1], versions[2]) == pytest.approx((600, 300, 100), abs=30)
    assert fleet == list(places(1_000, 10, {"mqtt": 1}, 0.5))


def test_every_model_has_firmware() -> None:
    every = places(200, 1, dict.fromkeys(("fcm", "apns", "wns", "web_push", "mqtt", "inbox"), 1), 0.5)

    assert all(isinstance(place, Place) and place.model.newest_firmware for place in every)


def test_networks_that_are_away_say_for_how_long() -> None:
    assert all(bool(network.offline_every_s) == bool(network.offline_for_s) for network in NETWORKS.values())
