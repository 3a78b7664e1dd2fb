"""Devices hear what a real broker has for them, whatever happens to the connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import aiomqtt
import pytest

from simulator.fleet.device import Device, Identity
from simulator.fleet.listening import Broker, Connection
from tests.servers import Mqtt
from tests.simulator.fleet.conftest import until

Heard = list[tuple[str, str, str]]


@pytest.fixture
def broker() -> Iterator[Mqtt]:
    """One of its own: these tests restart it."""
    with Mqtt() as server:
        yield server


def a_device(number: int = 1, *, acks_over_mqtt: bool = False) -> Device:
    identity = Identity(
        device_id=f"d-{number}", api_key="hp_1", site_id="site-001", name=f"Till {number}", channel="mqtt"
    )
    return Device(identity, acks_over_mqtt=acks_over_mqtt)


@asynccontextmanager
async def listening(server: Mqtt, devices: Sequence[Device], heard: Heard) -> AsyncIterator[Connection]:
    """A connection, open and subscribed, that notes device, kind and message of all that it hears."""

    def note(device: Device, kind: str, payload: object) -> None:
        assert isinstance(payload, bytes)
        heard.append((device.identity.device_id, kind, payload.decode()))

    connection = Connection(
        Broker.from_url(server.url),
        "a-fleet",
        devices,
        asyncio.Semaphore(1),
        Random(1),
        on_message=note,
        on_open=lambda *_: None,
    )
    running = asyncio.create_task(connection.run())
    try:
        await until(lambda: connection.open)
        yield connection
    finally:
        running.cancel()
        await asyncio.wait([running])


async def publish(server: Mqtt, *messages: tuple[str, str]) -> None:
    """At QoS 1, so that the broker has them when this returns."""
    address = Broker.from_url(server.url)
    async with aiomqtt.Client(
        address.host, address.port, username=address.user, password=address.password
    ) as publisher:
        for topic, payload in messages:
            await publisher.publish(topic, payload, qos=1)


def run(script: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await script()

    asyncio.run(limited())


def test_hears_its_messages_and_its_confirmations(broker: Mqtt) -> None:
    heard = Heard()

    async def script() -> None:
        async with listening(broker, [a_device(acks_over_mqtt=True)], heard):
            await publish(broker, ("devices/d-1/notifications", "m-1"), ("devices/d-1/acks/done", "m-1"))
            await until(lambda: len(heard) == 2)

    run(script)

    assert heard == [("d-1", "notifications", "m-1"), ("d-1", "done", "m-1")]


def test_shares_one_connection_among_many_devices(broker: Mqtt) -> None:
    heard = Heard()

    async def script() -> None:
        async with listening(broker, [a_device(number) for number in range(500)], heard):
            await publish(broker, *((f"devices/d-{number}/notifications", str(number)) for number in range(500)))
            await until(lambda: len(heard) == 500)

    run(script)

    assert sorted(heard) == sorted((f"d-{number}", "notifications", str(number)) for number in range(500))


def test_gets_what_came_while_it_was_away(broker: Mqtt) -> None:
    heard = Heard()

    async def script() -> None:
        async with listening(broker, [a_device()], heard):
            pass
        await publish(broker, *(("devices/d-1/notifications", str(number)) for number in range(50)))
        async with listening(broker, [a_device()], heard):
            await until(lambda: len(heard) == 50)

    run(script)

    assert [message for _, _, message in heard] == [str(number) for number in range(50)]


def test_comes_back_when_the_broker_does(broker: Mqtt) -> None:
    heard = Heard()

    async def script() -> None:
        async with listening(broker, [a_device()], heard) as connection:
            broker.kill()
            await until(lambda: not connection.open)
            await asyncio.to_thread(broker.start)
            await until(lambda: connection.open)
            await publish(broker, ("devices/d-1/notifications", "m-1"))
            await until(lambda: len(heard) == 1)

    run(script)


def test_says_when_the_broker_has_a_published_ack_and_when_not(broker: Mqtt) -> None:
    async def script() -> None:
        async with listening(broker, [a_device()], []) as connection:
            assert await connection.publish("devices/d-1/acks", json.dumps({}).encode())
            broker.kill()
            await until(lambda: not connection.open)
            assert not await connection.publish("devices/d-1/acks", b"{}")

    run(script)
