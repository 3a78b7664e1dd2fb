"""How devices come to be, against HTTP on a real socket."""

import asyncio
import stat
from dataclasses import replace
from pathlib import Path
from random import Random

from simulator.fleet.device import Identity
from simulator.fleet.plan import KIOSK, Place
from simulator.fleet.push_services import Addresses
from simulator.fleet.registration import Registration
from simulator.fleet.roster import Roster
from simulator.fleet.server import Server
from simulator.services import PushServices
from tests.simulator.fleet.conftest import served
from tests.simulator.fleet.stand_in import BOOTSTRAP_KEY, StandIn

TILL = Place(site_id="site-001", name="Till 1", model=KIOSK, channel="mqtt", acks_over_mqtt=False)

NOWHERE = Path("/nonexistent")
"""No push services: nobody here needs any."""


def registration(server: Server, roster: Roster) -> Registration:
    return Registration(server, roster, Addresses(NOWHERE, Random(1)), BOOTSTRAP_KEY, check_known=True)


def test_provisions_a_device_and_names_its_channel(roster: Roster) -> None:
    async def run() -> tuple[Identity, StandIn]:
        async with served() as (stand_in, server):
            return await registration(server, roster).enrol(TILL), stand_in

    identity, stand_in = asyncio.run(run())

    assert identity.registered
    assert stand_in.devices[identity.device_id]["device_name"] == "Till 1"
    assert stand_in.channels == {identity.device_id: "mqtt"}


def test_names_the_fallback_of_a_device_behind_its_push_service(roster: Roster, services: PushServices) -> None:
    async def run() -> tuple[Identity, StandIn]:
        async with served() as (stand_in, server):
            known_at = Addresses(services.home, Random(1))
            enrolling = Registration(server, roster, known_at, BOOTSTRAP_KEY, check_known=True)
            place = replace(TILL, channel="fcm", mqtt_fallback=True)
            return await enrolling.enrol(place), stand_in

    identity, stand_in = asyncio.run(run())

    fcm = stand_in.registered[identity.device_id, "fcm"]
    mqtt = stand_in.registered[identity.device_id, "mqtt"]
    assert (fcm["rank"], fcm["capabilities"]) == (0, {"fcm_token": identity.address})
    assert (mqtt["rank"], mqtt["address"]) == (1, identity.device_id)


def test_keeps_its_address_for_the_next_run(roster: Roster, services: PushServices, tmp_path: Path) -> None:
    async def run() -> tuple[Identity, Identity]:
        async with served() as (_, server):
            known_at = Addresses(services.home, Random(1))
            place = replace(TILL, channel="web_push")
            first = await Registration(server, roster, known_at, BOOTSTRAP_KEY, check_known=True).enrol(place)
            second = await registration(server, Roster(tmp_path / "fleet")).enrol(place)
            return first, second

    first, second = asyncio.run(run())

    assert first.address.startswith("{")
    assert second == first


def test_is_the_same_device_on_a_second_run(roster: Roster, tmp_path: Path) -> None:
    async def run() -> tuple[Identity, Identity, StandIn]:
        async with served() as (stand_in, server):
            first = await registration(server, roster).enrol(TILL)
            second = await registration(server, Roster(tmp_path / "fleet")).enrol(TILL)
            return first, second, stand_in

    first, second, stand_in = asyncio.run(run())

    assert second == first
    assert stand_in.requests["/devices/bootstrap-provision"] == 1


def test_provisions_anew_when_the_server_forgot_the_device(roster: Roster) -> None:
    async def run() -> tuple[Identity, StandIn]:
        async with served() as (_, server):
            await registration(server, roster).enrol(TILL)
        async with served() as (forgetful, server):
            return await registration(server, roster).enrol(TILL), forgetful

    identity, forgetful = asyncio.run(run())

    assert list(forgetful.devices) == [identity.device_id]
    assert roster.find("site-001", "Till 1") == identity


def test_asks_again_when_the_first_answer_was_lost(roster: Roster) -> None:
    async def run() -> tuple[Identity, StandIn]:
        async with served() as (stand_in, server):
            stand_in.fails_with(0, "/bootstrap-provision")
            return await registration(server, roster).enrol(TILL), stand_in

    identity, stand_in = asyncio.run(run())

    assert identity.registered
    assert len(stand_in.devices) == 1


def test_takes_another_name_when_its_own_is_taken(roster: Roster, tmp_path: Path) -> None:
    async def run() -> tuple[Identity, Identity]:
        async with served() as (_, server):
            first = await registration(server, roster).enrol(TILL)
            other = await registration(server, Roster(tmp_path / "another fleet")).enrol(TILL)
            return first, other

    first, other = asyncio.run(run())

    assert other.device_id != first.device_id
    assert other.name.startswith("Till 1 (")


def test_finishes_what_an_interrupted_run_began(roster: Roster) -> None:
    async def run() -> tuple[Identity, StandIn]:
        async with served() as (stand_in, server):
            stand_in.fails_with(400, "/channels/mqtt")
            unfinished = await registration(server, roster).enrol(TILL)
            assert not unfinished.registered
            return await registration(server, roster).enrol(TILL), stand_in

    identity, stand_in = asyncio.run(run())

    assert identity.registered
    assert stand_in.requests["/devices/bootstrap-provision"] == 1


def test_keeps_keys_for_their_owner_alone(roster: Roster, tmp_path: Path) -> None:
    identity = Identity(device_id="d-1", api_key="hp_1", site_id="site-001", name="Till 1", channel="mqtt")

    roster.keep("Till 1", identity)

    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "fleet").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "fleet").stat().st_mode) == 0o700
