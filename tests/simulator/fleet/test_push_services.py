"""Devices of the push services: the product's own providers send, and the devices get it, all over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from delivery.outcomes import OutcomeKind
from simulator.fleet.device import PUSH_SERVICES, Device, Identity
from simulator.fleet.push_services import Addresses, PushStream
from simulator.fleet.troubles import Troubles
from simulator.services import PushServices, running
from tests.simulator.fleet import product
from tests.simulator.fleet.conftest import until

TOAST = {"wns": {"type": "toast"}}


def device(services: PushServices, service: str) -> Device:
    address = Addresses(services.home, Random(1)).take(service)
    return Device(
        Identity(device_id="till-1", api_key="key", site_id="s", name="Till", channel=service, address=address)
    )


@asynccontextmanager
async def listening(home: Path, *devices: Device) -> AsyncIterator[list[tuple[Device, Any]]]:
    """What these devices got, as it comes in."""
    got: list[tuple[Device, Any]] = []
    stream = PushStream(
        home, Random(1), on_push=lambda device, message: got.append((device, message)), troubles=Troubles()
    )
    for each in devices:
        stream.add(each)
    listening_ = asyncio.create_task(stream.run())
    try:
        await until(lambda: stream.online == 1)
        yield got
    finally:
        listening_.cancel()
        with suppress(asyncio.CancelledError):
            await listening_


@pytest.mark.parametrize(("service", "platforms"), [*((name, {}) for name in PUSH_SERVICES), ("wns", TOAST)])
def test_a_device_gets_what_it_needs_to_ack(services: PushServices, service: str, platforms: dict[str, Any]) -> None:
    till = device(services, service)
    sent = product.message(till.identity.address, str(uuid4()), platforms=platforms)

    async def run() -> list[tuple[Device, Any]]:
        async with listening(services.home, till) as got:
            [outcome] = await product.send(product.credentials(services)[service], service, [sent])
            assert outcome.kind is OutcomeKind.ACCEPTED, outcome
            await until(lambda: len(got) == 1)
            return got

    [(receiver, message)] = asyncio.run(run())

    assert receiver is till
    assert (message["message_id"], message["ack_token"]) == (sent.message_id, "token")


def test_every_address_is_given_once(services: PushServices) -> None:
    addresses = Addresses(services.home, Random(1))

    async def run() -> list[str]:
        return await asyncio.gather(*(addresses.insist("fcm") for _ in range(120)))

    assert len(set(asyncio.run(run()))) == 120


@pytest.mark.parametrize("service", PUSH_SERVICES)
def test_devices_are_reached_again_after_the_services_came_back(services_home: Path, service: str) -> None:
    async def run() -> list[tuple[Device, Any]]:
        async with AsyncExitStack() as stack:
            with running(PushServices(home=services_home)) as before:
                till = device(before, service)
                ports = [each.port for each in before.services.values()]
                got = await stack.enter_async_context(listening(services_home, till))
            with running(PushServices(home=services_home, ports=[*ports, 0, 0, 0])) as after:
                await until(lambda: after.services[service].deliveries.online(key_of(after, till)))
                sent = product.message(till.identity.address, str(uuid4()))
                await product.send(product.credentials(after)[service], service, [sent])
                await until(lambda: len(got) == 1)
                return got

    [(receiver, _)] = asyncio.run(run())

    assert receiver.identity.channel == service


def key_of(services: PushServices, till: Device) -> str:
    return services.services[till.identity.channel].key_of(till.identity.address)
