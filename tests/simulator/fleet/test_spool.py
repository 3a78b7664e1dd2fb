"""Acks reach a server that is slow, away or picky."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from simulator.fleet.device import Ack, Device, Identity
from simulator.fleet.ledger import Ledger
from simulator.fleet.server import Server
from simulator.fleet.spool import Spool
from simulator.fleet.troubles import Troubles
from tests.simulator.fleet.conftest import IDEAL, served, until
from tests.simulator.fleet.stand_in import StandIn

Published = list[tuple[str, dict[str, str]]]


def a_device(*, acks_over_mqtt: bool = False) -> Device:
    identity = Identity(device_id="d-1", api_key="hp_1", site_id="site-001", name="Till 1", channel="mqtt")
    return Device(identity, acks_over_mqtt=acks_over_mqtt)


def an_ack(device: Device, number: int = 1, token: str = "token") -> Ack:
    give_up_at = asyncio.get_running_loop().time() + 60
    ack = device.receive({"message_id": f"m-{number}", "ack_token": token}, pushed=True, give_up_at=give_up_at)
    assert ack is not None
    return ack


def spool_of(server: Server, *, batch: int = 1, published: Published | None = None) -> Spool:
    async def publish(_device: Device, topic: str, payload: bytes) -> bool:
        if published is not None:
            published.append((topic, json.loads(payload)))
        return True

    return Spool(server, IDEAL, Random(1), batch=batch, publish=publish, ledger=Ledger(None), troubles=Troubles())


def with_spool(
    script: Callable[[StandIn, Spool], Awaitable[None]], *, batch: int = 1, published: Published | None = None
) -> None:
    """Run `script` while a spool sends its acks to a stand-in."""

    async def run() -> None:
        async with served() as (stand_in, server):
            spool = spool_of(server, batch=batch, published=published)
            sending = asyncio.create_task(spool.run())
            await script(stand_in, spool)
            sending.cancel()

    asyncio.run(run())


def test_counts_an_ack_once_the_server_answered_200() -> None:
    device = a_device()

    async def script(stand_in: StandIn, spool: Spool) -> None:
        spool.add(an_ack(device))
        await until(lambda: len(spool) == 0)

        assert len(stand_in.acks["m-1"]) == 1

    with_spool(script)

    assert device.acked == 1


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_repeats_an_ack_until_the_server_takes_it_with_the_same_time(status: int) -> None:
    device = a_device()

    async def script(stand_in: StandIn, spool: Spool) -> None:
        stand_in.fails_with(status, "/push/ack", times=2)
        spool.add(ack := an_ack(device))
        await until(lambda: len(spool) == 0)

        assert {said["received_at"] for said in stand_in.acks["m-1"]} == {ack.received_at}
        assert stand_in.requests["/push/ack"] == 3

    with_spool(script)

    assert device.acked == 1


def test_waits_at_least_as_long_as_the_server_asks() -> None:
    async def script(stand_in: StandIn, spool: Spool) -> None:
        stand_in.retry_after_s = 2
        stand_in.fails_with(429, "/push/ack")
        loop = asyncio.get_running_loop()
        began = loop.time()
        spool.add(an_ack(a_device()))
        await until(lambda: len(spool) == 0)

        assert loop.time() - began >= 2

    with_spool(script)


def test_sends_many_acks_in_few_requests() -> None:
    device = a_device()

    async def script(stand_in: StandIn, spool: Spool) -> None:
        for number in range(1_000):
            spool.add(an_ack(device, number))
        await until(lambda: len(spool) == 0)

        assert len(stand_in.acks) == 1_000
        assert stand_in.requests["/push/ack/batch"] < 500

    with_spool(script, batch=100)

    assert device.acked == 1_000


def test_gives_up_only_the_rejected_ack_of_a_batch() -> None:
    device = a_device()

    async def script(_stand_in: StandIn, spool: Spool) -> None:
        for number, token in enumerate(["good", "wrong", "good"]):
            spool.add(an_ack(device, number, token))
        await until(lambda: len(spool) == 0)

        assert spool.given_up == 1

    with_spool(script, batch=100)

    assert device.acked == 2


def test_keeps_an_mqtt_ack_until_it_is_confirmed() -> None:
    device, published = a_device(acks_over_mqtt=True), Published()

    async def script(stand_in: StandIn, spool: Spool) -> None:
        spool.add(an_ack(device))
        await until(lambda: bool(published))
        assert len(spool) == 1

        spool.confirm(device, ["m-1", "unknown"])
        spool.confirm(device, ["m-1"])

        assert len(spool) == 0
        assert not stand_in.requests

    with_spool(script, published=published)

    assert device.acked == 1
    assert published[0][0] == "devices/d-1/acks"


def test_sends_over_http_what_mqtt_does_not_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.fleet.spool.CONFIRMED_WITHIN_S", 0.0)
    monkeypatch.setattr("simulator.fleet.server.FIRST_BACKOFF_S", 0.01)
    device, published = a_device(acks_over_mqtt=True), Published()

    async def script(stand_in: StandIn, spool: Spool) -> None:
        spool.add(an_ack(device))
        await until(lambda: len(spool) == 0)

        assert len(stand_in.acks["m-1"]) == 1

    with_spool(script, published=published)

    assert device.acked == 1
    assert len(published) == 3
