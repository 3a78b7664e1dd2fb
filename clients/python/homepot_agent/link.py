"""The connection to the MQTT broker, which comes back by itself.

MQTT 3.1.1, which every broker speaks, with a session that the broker keeps, at QoS 1: what comes while the device is
away waits there. paho confirms a message to the broker after `on_message` has returned, so after it is written down.
"""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from homepot_agent import wire
from homepot_agent.wire import Ack

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    ca_file: str = ""

    @classmethod
    def from_url(cls, url: str, ca_file: str = "") -> "Broker":
        """`mqtt://user:password@host:1883` or `mqtts://...`; ValueError says what is wrong with another text."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("the broker's address is written mqtt://user:password@host:1883, or mqtts:// with TLS")
        return cls(
            host=parts.hostname,
            port=parts.port or PORTS[parts.scheme],
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=parts.scheme == "mqtts",
            ca_file=ca_file,
        )


OnTopic = Callable[[str, bytes], None]
"""Takes the topic and what came."""


class Link:
    """`on_change` is told when the device can be reached over it, and when it no longer can."""

    def __init__(self, broker: Broker, device_id: str, on_topic: OnTopic, on_change: Callable[[bool], None]) -> None:
        self._broker = broker
        self._device_id = device_id
        self._on_topic = on_topic
        self._on_change = on_change
        self._lock = threading.Lock()
        self._client: Client | None = None
        self.open = False
        self.problem = ""
        """What the broker has against this device, in words; empty where nothing."""

    def start(self) -> None:
        """Connect, and stay connected. A second time changes nothing."""
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
                self._client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
                self._client.loop_start()

    def stop(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
            self._tell(False)

    def publish(self, ack: Ack) -> bool:
        """Hand an ack to the broker; `acks/done` says later that it is committed."""
        client = self._client
        if client is None or not self.open:
            return False
        client.publish(wire.acks_topic(self._device_id), wire.as_json(ack.body(self._device_id)), qos=1)
        return True

    def _new_client(self) -> Client:
        broker = self._broker
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._device_id, clean_session=False, protocol=MQTTv311)
        if broker.user:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls:
            client.tls_set(ca_certs=broker.ca_file or None)
        client.reconnect_delay_set(min_delay=1, max_delay=random.randint(20, 40))
        client.max_queued_messages_set(1_000)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._message
        return client

    def _connected(
        self, client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _more: Properties | None
    ) -> None:
        if reason.is_failure:
            self._complain(f"the MQTT broker refuses the connection: {reason}")
            return
        own = self._device_id
        topics = (wire.notifications_topic(own), wire.commands_topic(own), wire.done_topic(own))
        client.subscribe([(topic, 1) for topic in topics])  # again each time: a broker may forget

    def _not_connected(self, _client: Client, _data: Any) -> None:
        broker = self._broker
        tls = ", or its certificate is not trusted" if broker.tls else ""
        self._complain(f"the MQTT broker does not answer at {broker.host}:{broker.port}{tls}")

    def _subscribed(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _more: Properties | None
    ) -> None:
        if reasons[0].is_failure:
            self._complain("the MQTT broker keeps the device's topics from it: check the broker's access list")
            return
        self.problem = ""
        self._tell(True)

    def _disconnected(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _more: Properties | None
    ) -> None:
        log.debug("MQTT connection lost: %s", reason)
        self._tell(False)

    def _message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            self._on_topic(message.topic, bytes(message.payload))
        except Exception:  # or paho's thread would end, and with it the connection
            log.exception("a bug in taking a message from %s", message.topic)

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem

    def _tell(self, is_open: bool) -> None:
        if self.open != is_open:
            self.open = is_open
            self._on_change(is_open)
