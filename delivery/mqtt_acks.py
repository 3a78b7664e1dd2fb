"""Acks that come over MQTT: taken in batches, and confirmed to the broker only after they are committed.

The broker keeps our session (a fixed client id) and gives us again whatever we did not confirm, so neither a crash nor
an absent database loses an ack; giving one twice is harmless. One thread does everything, paho's network loop too.
It speaks MQTT 3.1.1: a session that never expires is all it needs, and every broker has that.
"""

import json
import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import Counter
from rest_framework.exceptions import APIException

from delivery import outage
from delivery.acks import ProvenAck, WrongProof, parse, prove
from delivery.api.parsing import read
from delivery.providers.mqtt_link import CONNECT_TIMEOUT_S, KEEPALIVE_S, Broker, Closed, Refused

log = logging.getLogger(__name__)

CLIENT_ID = "homepot-acks"
TOPIC = "devices/+/acks"

BATCH = 100
BATCH_WAIT_S = 0.05
"""A batch is committed when nothing more is there to read, or after this long."""

MAX_HELD = 1000
"""With so many unconfirmed acks in memory we stop reading; most brokers stop long before (Mosquitto at 20)."""

TICK_S = 0.5
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 60.0
DATABASE_BACKOFF_S = 5.0
"""The longest pause between two looks at an absent database: we alone ask, and devices wait to hear of their acks."""

COUNT = Counter("homepot_mqtt_acks", "Acks over MQTT: recorded, rejected (malformed, unproven), failed (ours)", ["end"])

Record = Callable[[Sequence[ProvenAck]], None]


class Stopping(Exception):
    """We were asked to end while acks wait for the database; the broker has them still."""


class AckConsumer:
    """Runs until `stop`. `record` commits a batch or raises what the database raises."""

    def __init__(self, broker: Broker, record: Record, *, first_backoff_s: float = FIRST_BACKOFF_S) -> None:
        self._broker = broker
        self._record = record
        self._first_backoff_s = first_backoff_s
        self._stopping = threading.Event()
        self._held: list[MQTTMessage] = []
        self.subscribed = threading.Event()
        """Set while the broker gives us acks."""

    def stop(self) -> None:
        """Let `run` commit and confirm what it holds, and return. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        backoff_s = self._first_backoff_s
        while not self._stopping.is_set():
            try:
                with self._connection() as client:
                    backoff_s = self._first_backoff_s
                    self._serve(client)
            except Stopping:
                return
            except (Refused, OSError) as error:
                log.warning("no connection to the MQTT broker for acks: %s", str(error) or type(error).__name__)
            self._stopping.wait(random.uniform(backoff_s / 2, backoff_s))
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    @contextmanager
    def _connection(self) -> Iterator[Client]:
        """Connected and subscribed. What is not confirmed when it ends belongs to the broker again."""
        client = self._connect()
        log.info("taking acks from %s", TOPIC)
        self.subscribed.set()
        try:
            yield client
        finally:
            self.subscribed.clear()
            client.disconnect()

    def _connect(self) -> Client:
        self._held = []
        answers: list[ReasonCode] = []
        client = self._broker.client(
            CLIENT_ID, MQTTProtocolVersion.MQTTv311, clean_session=False, manual_ack=True, reconnect_on_failure=False
        )
        client.on_message = lambda _client, _data, message: self._held.append(message)
        client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
        client.on_subscribe = lambda _client, _data, _mid, reasons, _properties: answers.extend(reasons)
        client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
        self._await(client, answers, 1)
        client.subscribe(TOPIC, qos=1)
        self._await(client, answers, 2)
        return client

    def _await(self, client: Client, answers: list[ReasonCode], count: int) -> None:
        """Wait for the broker's next answer; `Refused` when it says no."""
        gives_up_at = time.monotonic() + CONNECT_TIMEOUT_S
        while len(answers) < count:
            lost = client.loop(TICK_S) != MQTTErrorCode.MQTT_ERR_SUCCESS
            if len(answers) < count and lost:
                raise Closed("it closed the connection")
            if time.monotonic() > gives_up_at:
                raise TimeoutError("it did not answer in time")
        if answers[-1].is_failure:
            raise Refused(answers[-1])

    def _serve(self, client: Client) -> None:
        while True:
            self._pump(client, 0 if self._held else TICK_S)
            if self._held:
                self._gather(client)
                self._flush(client)
            elif self._stopping.is_set():
                return

    def _gather(self, client: Client) -> None:
        """Take what else is there already, without waiting for more."""
        ends_at = time.monotonic() + BATCH_WAIT_S
        count = 0
        while count < len(self._held) < BATCH and time.monotonic() < ends_at:
            count = len(self._held)
            self._pump(client, 0)

    def _pump(self, client: Client, timeout_s: float) -> None:
        """Let paho read one packet and keep the connection alive; `Closed` when it is gone."""
        if len(self._held) >= MAX_HELD:
            time.sleep(timeout_s)
        elif client.loop(timeout_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise Closed("it closed the connection")

    def _flush(self, client: Client) -> None:
        """Commit a batch, tell the devices, and only then let the broker forget it."""
        batch = self._held[:BATCH]
        proven = [ack for message in batch if (ack := self._read(message)) is not None]
        recorded = self._commit(client, proven) if proven else []
        for device_id, message_ids in by_device(recorded).items():
            client.publish(f"devices/{device_id}/acks/done", json.dumps({"message_ids": message_ids}))
        for message in batch:
            client.ack(message.mid, message.qos)
        del self._held[: len(batch)]

    def _read(self, message: MQTTMessage) -> ProvenAck | None:
        try:
            return proven_ack(message.topic, bytes(message.payload))
        except (APIException, ValueError, WrongProof) as error:
            COUNT.labels("rejected").inc()
            log.warning("an ack over MQTT was rejected: %s", error, extra={"device_id": _device_of(message.topic)})
            return None

    def _commit(self, client: Client, proven: Sequence[ProvenAck]) -> Sequence[ProvenAck]:
        """Record the batch, however long the database is away; what was recorded."""
        backoff_s = self._first_backoff_s
        while True:
            try:
                self._record(proven)
            except Exception as error:
                if outage.is_outage(error):
                    log.warning("acks wait for the database: %s", type(error).__name__)
                    self._wait(client, random.uniform(backoff_s / 2, backoff_s))
                    backoff_s = min(backoff_s * 2, DATABASE_BACKOFF_S)
                    continue
                if len(proven) > 1:
                    return [done for ack in proven for done in self._commit(client, [ack])]
                COUNT.labels("failed").inc()
                ids = {"message_id": proven[0].ack.message_id, "device_id": proven[0].device_id}
                log.exception("an ack over MQTT could not be recorded", extra=ids)
                return []
            else:
                COUNT.labels("recorded").inc(len(proven))
                return proven

    def _wait(self, client: Client, wait_s: float) -> None:
        ends_at = time.monotonic() + wait_s
        while time.monotonic() < ends_at:
            if self._stopping.is_set():
                raise Stopping
            self._pump(client, min(TICK_S, wait_s))


def proven_ack(topic: str, payload: bytes) -> ProvenAck:
    """Read an ack from `devices/{device_id}/acks`: it is for that device, and its `ack_token` proves it.

    `APIException`, `ValueError` or `WrongProof` say in our words what is wrong with it.
    """
    ack = parse(read(payload))
    if not ack.ack_token:
        raise WrongProof("over MQTT an ack needs the ack_token from the message")
    proven = prove(ack, key_of=None)
    if proven.device_id != _device_of(topic):
        raise WrongProof("the topic names another device")
    return proven


def _device_of(topic: str) -> str:
    return topic.split("/")[1]


def by_device(proven: Sequence[ProvenAck]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for item in proven:
        grouped[item.device_id].append(item.ack.message_id)
    return grouped
