"""Brokers and devices to test MQTT with."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from homepot import brokers
from tests import servers
from tests.processes import Process, ProcessError, port_answers, spawn


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


def wait_until(happened: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {timeout_s:g} s"
        time.sleep(0.01)
