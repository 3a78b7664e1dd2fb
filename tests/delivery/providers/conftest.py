"""The contract suite runs over every rig named here. A new provider is one fixture and its name in `RIGS`."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.providers import get_push_provider
from delivery.providers.apns import Apns
from delivery.providers.fcm import Fcm
from tests import servers
from tests.delivery.mqtt import Amqtt, Listener, wait_until
from tests.delivery.providers import apple, google
from tests.delivery.providers.ack_server import AckServer
from tests.delivery.providers.local_servers import Http2Server, Reply, authority
from tests.delivery.providers.rig import Rig
from tests.delivery.providers.scripted_broker import ScriptedBroker

RIGS = ["mqtt_rig", "amqtt_rig", "simulation_rig", "fcm_rig", "apns_rig"]


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    rig: Rig = request.getfixturevalue(request.param)
    return rig


@pytest.fixture(scope="session")
def refusing_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(scope="session")
def amqtt_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amqtt]:
    with Amqtt(tmp_path_factory.mktemp("amqtt")) as server:
        yield server


@pytest.fixture
def mqtt_rig(mqtt_broker: servers.Mqtt, refusing_port: int) -> Iterator[Rig]:
    yield from _mqtt_rig(mqtt_broker.url, refusing_port)


@pytest.fixture
def amqtt_rig(amqtt_broker: Amqtt, refusing_port: int) -> Iterator[Rig]:
    yield from _mqtt_rig(amqtt_broker.url, refusing_port)


def _mqtt_rig(url: str, refusing_port: int) -> Iterator[Rig]:
    with Listener(url) as devices, ScriptedBroker(puback=lambda _: None) as silent:
        yield Rig(
            healthy=lambda: get_push_provider("mqtt", {"url": url}),
            unreachable=lambda: get_push_provider("mqtt", {"url": f"mqtt://127.0.0.1:{refusing_port}"}),
            silent=lambda deadline_s: get_push_provider("mqtt", {"url": silent.url, "deadline_s": deadline_s}),
            seen=devices.message_ids,
        )


@pytest.fixture
def simulation_rig() -> Iterator[Rig]:
    world = {"profile": "ideal", "seed": 7, "median_ms": 5}
    with AckServer() as server:

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(server.acks) >= count)
            time.sleep(0.1)
            return [ack["message_id"] for ack in server.acks]

        yield Rig(
            healthy=lambda: get_push_provider("simulation", world),
            unreachable=lambda: get_push_provider(
                "simulation", {**world, "success_rate": 0, "error_mix": {"retry": 1}}
            ),
            silent=lambda deadline_s: get_push_provider(
                "simulation", {**world, "answer_median_ms": 3_600_000, "deadline_s": deadline_s}
            ),
            seen=seen,
            ack_url=server.url,
        )


@pytest.fixture
def fcm_rig(tmp_path: Path, refusing_port: int) -> Iterator[Rig]:
    nobody = f"https://127.0.0.1:{refusing_port}"
    with google.Google() as healthy, google.Google(lambda _: Reply(after_s=60)) as silent:
        config = {"service_account_file": google.account_file(tmp_path, healthy), "ca_file": authority().ca_file}

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(healthy.messages) >= count)
            return [json.loads(request.body)["message"]["data"]["message_id"] for request in healthy.messages]

        yield Rig(
            healthy=lambda: Fcm.from_config({**config, "url": healthy.url}),
            unreachable=lambda: Fcm.from_config({**config, "url": nobody}),
            silent=lambda deadline_s: Fcm.from_config({**config, "url": silent.url, "deadline_s": deadline_s}),
            seen=seen,
        )


@pytest.fixture
def apns_rig(tmp_path: Path, refusing_port: int) -> Iterator[Rig]:
    nobody = f"https://127.0.0.1:{refusing_port}"
    with Http2Server(apple.like_apple, strict=True) as healthy, Http2Server(lambda _: Reply(after_s=60)) as silent:
        config = apple.config(tmp_path)

        def seen(count: int) -> list[str]:
            wait_until(lambda: len(healthy.received) >= count)
            return [request.headers["apns-id"] for request in healthy.received]

        yield Rig(
            healthy=lambda: Apns.from_config({**config, "url": healthy.url}),
            unreachable=lambda: Apns.from_config({**config, "url": nobody}),
            silent=lambda deadline_s: Apns.from_config({**config, "url": silent.url, "deadline_s": deadline_s}),
            seen=seen,
        )
