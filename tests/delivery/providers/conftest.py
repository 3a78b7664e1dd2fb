"""The contract suite runs over every rig named here. A new provider is one fixture and its name in `RIGS`."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from delivery.providers import get_push_provider
from homepot import brokers
from tests import servers
from tests.delivery.providers.ack_server import AckServer
from tests.delivery.providers.rig import Rig
from tests.delivery.providers.scripted_broker import ScriptedBroker
from tests.processes import Process, ProcessError, free_port, port_answers, spawn

RIGS = ["mqtt_rig", "amqtt_rig", "simulation_rig"]


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


class Amqtt(servers.Server):
    """The embedded broker, also where Mosquitto is on the path: it speaks 3.1.1 only."""

    name = "amqtt"

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        return port_answers(self.port)

    def _launch(self) -> Process:
        script = brokers.amqtt_script()
        if script is None:
            raise ProcessError("no amqtt")
        settings = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        config = self.folder / "amqtt.yaml"
        config.write_text(json.dumps(settings))
        return spawn(self.name, [script, "-c", config], folder=self.folder)


@pytest.fixture(scope="session")
def amqtt_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amqtt]:
    with Amqtt(tmp_path_factory.mktemp("amqtt"), port=free_port()) as server:
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


class Listener:
    """All devices at once: subscribes to what is published for them and keeps it."""

    def __init__(self, url: str, topic: str = "devices/+/notifications") -> None:
        self.received: list[MQTTMessage] = []
        self._url = urlsplit(url)
        self._topic = topic
        self._subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _client, _data, message: self.received.append(message)
        self._client.username_pw_set(self._url.username or "", self._url.password)

    def __enter__(self) -> "Listener":
        self._client.connect(str(self._url.hostname), self._url.port or 1883)
        self._client.loop_start()
        wait_until(lambda: self._subscribed)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def payloads(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many messages, and a little longer for one too many."""
        wait_until(lambda: len(self.received) >= count)
        time.sleep(0.1)
        return [json.loads(message.payload) for message in self.received]

    def message_ids(self, count: int) -> list[str]:
        return [payload["message_id"] for payload in self.payloads(count)]

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed = True


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


def wait_until(happened: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {timeout_s:g} s"
        time.sleep(0.01)
