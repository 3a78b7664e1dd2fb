import json
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from paho.mqtt import publish
from pytest_django import Settings

from delivery import ack_tokens
from delivery.acks import ProvenAck
from delivery.models import PushNotificationLog, Receipt
from delivery.models.keys import new_message_id
from delivery.mqtt_acks import BATCH, AckConsumer
from delivery.providers.mqtt_link import Broker
from tests import servers
from tests.delivery.mqtt import Amqtt, Listener, wait_until
from tests.delivery.rows import messages
from tests.processes import spawn

DEVICE = "till-1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[servers.Mqtt]:
    """One for each test, because the consumer's session stays with its broker."""
    with servers.Mqtt(tmp_path) as server:
        yield server


@pytest.fixture
def keeping_broker(broker: servers.Mqtt) -> servers.Mqtt:
    """One that keeps what comes while the consumer is away, or has not confirmed."""
    if not broker.speaks_v5:
        pytest.skip("Mosquitto is not there, and amqtt keeps no acks for a consumer that is away")
    return broker


class Database:
    """In the place of `acks.record`: keeps the batches, and fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.away = False
        self.poison: str | None = None
        self.tries = 0

    def record(self, proven: Sequence[ProvenAck]) -> None:
        self.tries += 1
        if self.away:
            raise OperationalError("server closed the connection")
        if any(item.ack.message_id == self.poison for item in proven):
            raise KeyError(self.poison)
        self.batches.append([item.ack.message_id for item in proven])

    @property
    def recorded(self) -> list[str]:
        return [message_id for batch in self.batches for message_id in batch]


@contextmanager
def consuming(url: str, database: Database) -> Iterator[AckConsumer]:
    consumer = AckConsumer(Broker.from_url(url), database.record, first_backoff_s=0.05)
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        assert consumer.subscribed.wait(10)
        yield consumer
    finally:
        consumer.stop()
        thread.join(10)
        assert not thread.is_alive()


def acks(count: int, device_id: str = DEVICE) -> list[dict[str, Any]]:
    ids = [str(new_message_id()) for _ in range(count)]
    return [{"message_id": key, "ack_token": ack_tokens.sign(key, device_id, settings.ACK_KEYS)} for key in ids]


def ids(sent: Sequence[dict[str, Any]]) -> list[str]:
    return [ack["message_id"] for ack in sent]


def post(url: str, payloads: Sequence[dict[str, Any] | bytes], device_id: str = DEVICE) -> None:
    """Publish as a device does, and return when the broker has all of them."""
    broker = urlsplit(url)
    publish.multiple(
        [
            {
                "topic": f"devices/{device_id}/acks",
                "payload": item if isinstance(item, bytes) else json.dumps(item),
                "qos": 1,
            }
            for item in payloads
        ],
        hostname=str(broker.hostname),
        port=broker.port or 1883,
        auth={"username": broker.username, "password": broker.password or ""} if broker.username else None,
    )


def opened_session(url: str) -> None:
    """A first life of the consumer: from now on the broker keeps what it misses."""
    with consuming(url, Database()):
        pass


def test_records_what_devices_ack(broker: servers.Mqtt) -> None:
    sent = acks(3)

    with consuming(broker.url, database := Database()):
        post(broker.url, sent)
        wait_until(lambda: len(database.recorded) == 3)

    assert database.recorded == ids(sent)


def test_works_with_a_broker_that_speaks_3_1_1_only(tmp_path: Path) -> None:
    sent = acks(3)

    with Amqtt(tmp_path) as old, consuming(old.url, database := Database()):
        post(old.url, sent)
        wait_until(lambda: len(database.recorded) == 3)

    assert database.recorded == ids(sent)


def test_tells_the_device_which_acks_are_committed(broker: servers.Mqtt) -> None:
    first, second = acks(2), acks(1, "till-2")

    with Listener(broker.url, "devices/+/acks/done") as devices, consuming(broker.url, Database()):
        post(broker.url, first)
        post(broker.url, second, "till-2")
        wait_until(lambda: len(told(devices)) == 3)

    assert told(devices) == {(DEVICE, key) for key in ids(first)} | {("till-2", key) for key in ids(second)}


def told(devices: Listener) -> set[tuple[str, str]]:
    return {
        (message.topic.split("/")[1], message_id)
        for message in devices.received
        for message_id in json.loads(message.payload)["message_ids"]
    }


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"not json", id="not JSON"),
        pytest.param(b"[" * 60_000, id="deep"),
        pytest.param(b"9" * 5_000, id="a long number"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"message_id": 5}', id="a number for an id"),
        pytest.param(b'{"message_id": "a\\u0000"}', id="NUL"),
        pytest.param(b'{"status": "delivered"}', id="no message_id"),
        pytest.param(b'{"message_id": "m", "status": "eaten"}', id="unknown status"),
        pytest.param(b'{"message_id": "m", "received_at": "soon"}', id="no time"),
        pytest.param(b'{"message_id": "m", "pad": "' + b"x" * 70_000 + b'"}', id="70 KB"),
        pytest.param(b'{"message_id": "m", "device_id": "till-1"}', id="no token"),
        pytest.param(b'{"message_id": "m", "ack_token": "till-1.AAAA"}', id="wrong token"),
    ],
)
def test_goes_on_after_what_it_cannot_take(broker: servers.Mqtt, payload: bytes) -> None:
    good = acks(1)

    with consuming(broker.url, database := Database()):
        post(broker.url, [payload, *good])
        wait_until(lambda: len(database.recorded) == 1)
    with consuming(broker.url, afterwards := Database()):
        post(broker.url, again := acks(1))
        wait_until(lambda: len(afterwards.recorded) == 1)

    assert database.recorded == ids(good)
    assert afterwards.recorded == ids(again)


def test_takes_no_ack_from_another_devices_topic(broker: servers.Mqtt) -> None:
    good = acks(1)

    with consuming(broker.url, database := Database()):
        post(broker.url, acks(1, "till-2"), DEVICE)
        post(broker.url, good)
        wait_until(lambda: len(database.recorded) == 1)

    assert database.recorded == ids(good)


def test_shows_no_token_when_it_rejects(broker: servers.Mqtt, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    [foreign] = acks(1, "till-2")

    with consuming(broker.url, database := Database()):
        post(broker.url, [foreign, *acks(1)])
        wait_until(lambda: len(database.recorded) == 1)

    assert "rejected" in caplog.text
    assert foreign["ack_token"] not in caplog.text
    assert broker.password not in caplog.text


def test_gets_what_came_while_it_was_away(keeping_broker: servers.Mqtt) -> None:
    opened_session(keeping_broker.url)
    sent = acks(5)

    post(keeping_broker.url, sent)

    with consuming(keeping_broker.url, database := Database()):
        wait_until(lambda: len(database.recorded) == 5)
    assert database.recorded == ids(sent)


def test_takes_many_in_batches(keeping_broker: servers.Mqtt) -> None:
    opened_session(keeping_broker.url)
    sent = acks(1000)
    post(keeping_broker.url, sent)

    with consuming(keeping_broker.url, database := Database()):
        wait_until(lambda: len(database.recorded) == 1000)

    assert database.recorded == ids(sent)
    assert max(len(batch) for batch in database.batches) <= BATCH
    assert len(database.batches) < 100


def test_confirms_nothing_before_it_is_committed(keeping_broker: servers.Mqtt) -> None:
    sent = acks(3)
    never = Database()
    never.away = True

    with consuming(keeping_broker.url, never):
        post(keeping_broker.url, sent)
        wait_until(lambda: never.tries > 1)
    with consuming(keeping_broker.url, database := Database()):
        wait_until(lambda: len(database.recorded) == 3)

    assert database.recorded == ids(sent)


def test_waits_for_the_database(broker: servers.Mqtt) -> None:
    sent = acks(250)
    database = Database()
    database.away = True

    with consuming(broker.url, database):
        post(broker.url, sent)
        wait_until(lambda: database.tries > 2)
        database.away = False
        wait_until(lambda: len(database.recorded) == 250)

    assert database.recorded == ids(sent)


def test_ends_at_once_when_told_so_while_the_database_is_away(broker: servers.Mqtt) -> None:
    database = Database()
    database.away = True

    with consuming(broker.url, database):
        post(broker.url, acks(1))
        wait_until(lambda: database.tries > 0)

    assert database.recorded == []


def test_leaves_out_the_one_ack_that_it_cannot_record(
    keeping_broker: servers.Mqtt, caplog: pytest.LogCaptureFixture
) -> None:
    opened_session(keeping_broker.url)
    sent = acks(5)
    database = Database()
    database.poison = sent[2]["message_id"]
    post(keeping_broker.url, sent)

    with consuming(keeping_broker.url, database):
        wait_until(lambda: len(database.recorded) == 4)
        post(keeping_broker.url, more := acks(1))
        wait_until(lambda: len(database.recorded) == 5)

    assert database.recorded == ids([*sent[:2], *sent[3:], *more])
    assert [record.message for record in caplog.records if record.exc_info] == [
        "an ack over MQTT could not be recorded"
    ]


def test_connects_again_after_the_broker_was_away(broker: servers.Mqtt) -> None:
    sent = acks(2)

    with consuming(broker.url, database := Database()) as consumer:
        broker.stop()
        wait_until(lambda: not consumer.subscribed.is_set())
        broker.start()
        assert consumer.subscribed.wait(10)
        post(broker.url, sent)
        wait_until(lambda: len(database.recorded) == 2)

    assert database.recorded == ids(sent)


def test_keeps_trying_while_its_password_is_wrong(broker: servers.Mqtt, caplog: pytest.LogCaptureFixture) -> None:
    consumer = AckConsumer(
        Broker.from_url(broker.url.replace(broker.password, "wrong")), Database().record, first_backoff_s=0.05
    )
    thread = threading.Thread(target=consumer.run)

    thread.start()
    wait_until(lambda: caplog.text.count("no connection to the MQTT broker") >= 2)
    consumer.stop()
    thread.join(10)

    assert not thread.is_alive()
    assert "Not authorized" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_is_a_process_that_delivers_and_ends_when_told(broker: servers.Mqtt, tmp_path: Path) -> None:
    rows = messages(3, provider="mqtt")
    environment = {"DATABASE_URL": database_url(), "MQTT_URL": broker.url}
    process = spawn("mqtt_acks", [sys.executable, "manage.py", "mqtt_acks"], folder=tmp_path, env=environment)
    try:
        process.wait_for_line("taking acks")

        for row in rows:
            key = str(row.message_id)
            token = ack_tokens.sign(key, row.device_id, settings.ACK_KEYS)
            post(broker.url, [{"message_id": key, "ack_token": token}], row.device_id)
        wait_until(lambda: PushNotificationLog.objects.filter(status="delivered").count() == 3)

        assert process.stop() == 0
    finally:
        process.kill()
    assert Receipt.objects.count() == 3


def database_url() -> str:
    """Of the test database, for another process."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return f"postgresql://{connection.settings_dict['USER']}@127.0.0.1:{connection.settings_dict['PORT']}/{name}"


def test_asks_for_the_broker_that_it_lacks(settings: Settings) -> None:
    settings.MQTT_URL = ""

    with pytest.raises(CommandError, match="MQTT_URL"):
        call_command("mqtt_acks")
