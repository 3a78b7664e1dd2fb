"""A fleet on the devices' port, and senders on the services, all over sockets."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.services import Accepted, DeviceStream, PushServices, running
from tests.simulator.services.clients import Https, fcm_token, send_path, wns_token

WAIT_S = 5.0
TOKENS = ["token-number-1", "token-number-2"]


@pytest.fixture
def services(home: Path) -> Iterator[PushServices]:
    with running(PushServices(home=home)) as each:
        yield each


def send(services: PushServices, token: str, message_id: str) -> None:
    fcm = services.fcm
    content = json.dumps({"message": {"token": token, "data": {"message_id": message_id}}})
    with Https(fcm.url, fcm.ca_file) as client:
        reply = client.post(send_path(fcm), content, {"authorization": f"Bearer {fcm_token(fcm)}"})
    assert reply.status == 200


def as_a_fleet(services: PushServices, act: Callable[[DeviceStream], Awaitable[Any]]) -> Any:
    """What `act` returns, with a stream of its own."""

    async def connected() -> Any:
        async with DeviceStream.opened(services.devices.url) as stream, asyncio.timeout(WAIT_S):
            return await act(stream)

    return asyncio.run(connected())


async def received(stream: DeviceStream, count: int) -> list[Accepted]:
    got: list[Accepted] = []
    async for message in stream.messages():
        got.append(message)
        if len(got) == count:
            break
    return got


def test_a_fleet_gets_what_was_accepted_for_its_devices(services: PushServices) -> None:
    async def act(stream: DeviceStream) -> list[Accepted]:
        await stream.subscribe("fcm", [TOKENS[0]])
        for token, message_id in ((TOKENS[1], "m-other"), (TOKENS[0], "m-1"), (TOKENS[0], "m-2")):
            await asyncio.to_thread(send, services, token, message_id)
        return await received(stream, 2)

    got = as_a_fleet(services, act)

    assert [(each.service, each.address, each.message_id) for each in got] == [
        ("fcm", TOKENS[0], "m-1"),
        ("fcm", TOKENS[0], "m-2"),
    ]
    assert got[0].payload["data"] == {"message_id": "m-1"}


def test_what_came_while_a_device_was_away_waits_for_it(services: PushServices) -> None:
    send(services, TOKENS[0], "m-1")

    async def act(stream: DeviceStream) -> list[Accepted]:
        await stream.subscribe("fcm", TOKENS)
        return await received(stream, 1)

    assert [each.message_id for each in as_a_fleet(services, act)] == ["m-1"]


def test_a_fleet_that_hangs_up_takes_its_devices_offline(services: PushServices) -> None:
    async def act(stream: DeviceStream) -> bool:
        await stream.subscribe("fcm", TOKENS)
        return services.fcm.deliveries.online(TOKENS[0])

    was_online = as_a_fleet(services, act)
    send(services, TOKENS[0], "m-1")

    assert was_online
    assert services.fcm.summary()["waiting"] == 1


def test_a_device_can_go_offline_while_its_fleet_stays(services: PushServices) -> None:
    async def act(stream: DeviceStream) -> list[Accepted]:
        await stream.subscribe("fcm", TOKENS)
        await stream.unsubscribe("fcm", [TOKENS[0]])
        await asyncio.to_thread(send, services, TOKENS[0], "m-away")
        await asyncio.to_thread(send, services, TOKENS[1], "m-here")
        return await received(stream, 1)

    assert [each.message_id for each in as_a_fleet(services, act)] == ["m-here"]


def test_a_subscription_is_known_by_its_json_and_by_its_endpoint(services: PushServices) -> None:
    subscription = services.web_push.new_address()

    async def act(stream: DeviceStream) -> bool:
        await stream.subscribe("web_push", [subscription])
        return services.web_push.deliveries.online(json.loads(subscription)["endpoint"])

    assert as_a_fleet(services, act)


def test_wns_tells_that_the_device_is_connected(services: PushServices) -> None:
    wns = services.wns
    channel = wns.new_address()
    headers = {
        "authorization": f"Bearer {wns_token(wns)}",
        "x-wns-type": "wns/raw",
        "content-type": "application/octet-stream",
        "x-wns-requestforstatus": "true",
    }

    async def act(stream: DeviceStream) -> list[Accepted]:
        await stream.subscribe("wns", [channel])
        with Https(wns.url, wns.ca_file) as client:
            reply = await asyncio.to_thread(client.post, channel, b"wake up", headers)
        assert reply.headers["x-wns-deviceconnectionstatus"] == "connected"
        return await received(stream, 1)

    assert [each.payload for each in as_a_fleet(services, act)] == ["wake up"]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'"x"',
        b'{"subscribe":"pigeon","addresses":[]}',
        b'{"subscribe":"fcm"}',
        b'{"subscribe":[]}',
        b'{"subscribe":"fcm","addresses":[1]}',
        b'{"subscribe":"web_push","addresses":["{"]}',
    ],
)
def test_a_line_that_it_does_not_understand_is_answered_and_ends_nothing(services: PushServices, line: bytes) -> None:
    async def ask() -> list[dict[str, Any]]:
        host, _, port = services.devices.url.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(line + b'\n{"subscribe":"fcm","addresses":["token-number-1"]}\n')
        async with asyncio.timeout(WAIT_S):
            answers = [json.loads(await reader.readline()) for _ in range(2)]
        writer.close()
        await writer.wait_closed()
        return answers

    refusal, answer = asyncio.run(ask())

    assert "error" in refusal
    assert answer == {"subscribed": "fcm", "addresses": 1}


def test_an_order_that_the_services_do_not_understand_is_an_error_of_that_order(services: PushServices) -> None:
    async def act(stream: DeviceStream) -> list[Accepted]:
        with pytest.raises(ValueError, match="pigeon"):
            await stream.subscribe("pigeon", TOKENS)
        await stream.subscribe("fcm", TOKENS)
        await asyncio.to_thread(send, services, TOKENS[0], "m-1")
        return await received(stream, 1)

    assert [each.message_id for each in as_a_fleet(services, act)] == ["m-1"]


def test_the_messages_end_when_the_services_stop(tmp_path: Path) -> None:
    async def act() -> list[Accepted]:
        async with PushServices(home=tmp_path) as services, DeviceStream.opened(services.devices.url) as stream:
            await stream.subscribe("fcm", TOKENS)
            await services.devices.stop()
            return [each async for each in stream.messages()]

    assert asyncio.run(act()) == []
