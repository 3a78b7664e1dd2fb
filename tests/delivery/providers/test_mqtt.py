import asyncio
import gc
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind, accepted
from delivery.providers.base import ConfigError, Message, flat
from delivery.providers.mqtt import DENIED_DEVICES, Mqtt
from delivery.providers.mqtt_link import Broker
from tests import servers
from tests.delivery.mqtt import Listener, wait_until
from tests.delivery.providers.local_servers import authority, server_tls
from tests.delivery.providers.rig import MESSAGE, send
from tests.delivery.providers.scripted_broker import V5, V311, ScriptedBroker

TO_20_DEVICES = [replace(MESSAGE, device_id=f"till-{n}") for n in range(DENIED_DEVICES)]


def mqtt(url: str, **config: object) -> Mqtt:
    return Mqtt.from_config({"url": url, **config})


async def accepted_at_last(provider: Mqtt, message: Message) -> None:
    """Send until the broker takes it; until then its absence must be an unknown outcome, and nothing else."""
    while (outcome := await provider.send_one(message)).kind is not OutcomeKind.ACCEPTED:
        assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)
        await asyncio.sleep(0.1)


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as broker:
        yield broker


def test_gives_the_device_the_flat_message(mqtt_broker: servers.Mqtt) -> None:
    with Listener(mqtt_broker.url) as devices:
        send(mqtt(mqtt_broker.url), [MESSAGE])

        [payload] = devices.payloads(1)

    assert payload == json.loads(json.dumps(flat(MESSAGE)))
    assert devices.received[0].topic == "devices/till-1/notifications"
    assert devices.received[0].qos == 1
    assert not devices.received[0].retain


def test_tells_the_broker_how_long_the_message_lives(broker: ScriptedBroker) -> None:
    send(mqtt(broker.url), [replace(MESSAGE, ttl_s=77)])

    assert [message.expiry_s for message in broker.published] == [77]


def test_wakes_the_commands_only_where_the_content_says_so(broker: ScriptedBroker) -> None:
    order = replace(MESSAGE, content={"wake": True})

    send(mqtt(broker.url), [MESSAGE])
    send(mqtt(broker.url), [order])

    topics = [message.topic for message in broker.published]
    assert topics == ["devices/till-1/notifications", "devices/till-1/commands", "devices/till-1/notifications"]
    assert json.loads(broker.published[1].payload) == {"type": "wake", "message_id": MESSAGE.message_id}


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (0x00, OutcomeKind.ACCEPTED, ""),
        (0x10, OutcomeKind.ACCEPTED, "0x10 No matching subscribers"),
        (0x80, OutcomeKind.RETRY, "0x80 Unspecified error"),
        (0x83, OutcomeKind.RETRY, "0x83 Implementation specific error"),
        (0x87, OutcomeKind.REJECTED, "0x87 Not authorized"),
        (0x90, OutcomeKind.REJECTED, "0x90 Topic name invalid"),
        (0x97, OutcomeKind.RETRY, "0x97 Quota exceeded"),
        (0x99, OutcomeKind.REJECTED, "0x99 Payload format invalid"),
    ],
)
def test_reads_the_answer_to_a_message(code: int, kind: OutcomeKind, word: str) -> None:
    with ScriptedBroker(puback=lambda _: code) as broker:
        [outcome] = send(mqtt(broker.url), [MESSAGE])

    assert (outcome.kind, outcome.code) == (kind, word)


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (0x85, OutcomeKind.MISCONFIGURED, "0x85 Client identifier not valid"),
        (0x86, OutcomeKind.MISCONFIGURED, "0x86 Bad user name or password"),
        (0x87, OutcomeKind.MISCONFIGURED, "0x87 Not authorized"),
        (0x88, OutcomeKind.RETRY, "0x88 Server unavailable"),
        (0x89, OutcomeKind.RETRY, "0x89 Server busy"),
        (0x8A, OutcomeKind.MISCONFIGURED, "0x8A Banned"),
        (0x8C, OutcomeKind.MISCONFIGURED, "0x8C Bad authentication method"),
        (0x97, OutcomeKind.RETRY, "0x97 Quota exceeded"),
        (0x9C, OutcomeKind.RETRY, "0x9C Use another server"),
        (0x9D, OutcomeKind.MISCONFIGURED, "0x9D Server moved"),
        (0x9F, OutcomeKind.RETRY, "0x9F Connection rate exceeded"),
    ],
)
def test_reads_why_the_connection_was_refused(code: int, kind: OutcomeKind, word: str) -> None:
    with ScriptedBroker(connack=code) as broker:
        [outcome] = send(mqtt(broker.url), [MESSAGE])

    assert (outcome.kind, outcome.code) == (kind, word)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(3, OutcomeKind.RETRY), (4, OutcomeKind.MISCONFIGURED), (5, OutcomeKind.MISCONFIGURED)],
)
def test_reads_why_an_old_broker_refused(code: int, kind: OutcomeKind) -> None:
    with ScriptedBroker(connack=code, versions=(V311,)) as broker:
        [outcome] = send(mqtt(broker.url), [MESSAGE])

    assert outcome.kind is kind


def test_says_that_the_password_is_wrong(mqtt_broker: servers.Mqtt) -> None:
    [outcome] = send(mqtt(mqtt_broker.url.replace(mqtt_broker.password, "wrong")), [MESSAGE])

    assert outcome.kind is OutcomeKind.MISCONFIGURED


def test_takes_a_single_denied_device_for_the_devices_fault() -> None:
    with ScriptedBroker(puback=lambda message: 0x87 if "till-3/" in message.topic else 0) as broker:
        outcomes = send(mqtt(broker.url), TO_20_DEVICES * 2)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED, OutcomeKind.REJECTED}


def test_takes_many_denied_devices_for_our_own_fault() -> None:
    with ScriptedBroker(puback=lambda _: 0x87) as broker:
        outcomes = send(mqtt(broker.url), TO_20_DEVICES)

    assert [outcome.kind for outcome in outcomes[:-1]] == [OutcomeKind.REJECTED] * (DENIED_DEVICES - 1)
    assert outcomes[-1].kind is OutcomeKind.MISCONFIGURED


def test_forgets_denied_devices_after_an_accepted_message() -> None:
    answers = iter([0x87] * (DENIED_DEVICES - 1) + [0x00, 0x87])
    with ScriptedBroker(puback=lambda _: next(answers)) as broker:
        outcomes = send(mqtt(broker.url), [*TO_20_DEVICES, MESSAGE])

    assert outcomes[-1].kind is OutcomeKind.REJECTED


@pytest.mark.parametrize("how", ["refuses", "hangs up", "is silent"])
def test_speaks_3_1_1_where_the_broker_does_not_take_version_5(how: str) -> None:
    with ScriptedBroker(versions=(V311,), on_other_versions=how) as broker:
        [outcome] = send(mqtt(broker.url), [MESSAGE])

    assert outcome == accepted()
    assert broker.connects == [V5, V311]
    assert broker.published[0].expiry_s is None


def test_says_once_what_an_old_broker_cannot_do(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedBroker(versions=(V311,)) as broker:
        provider = mqtt(broker.url)

        send(provider, [MESSAGE])
        send(provider, [MESSAGE])

    assert [record.levelname for record in caplog.records if "3.1.1" in record.message] == ["WARNING"]


def test_keeps_at_most_a_window_unanswered() -> None:
    with ScriptedBroker(puback=lambda _: None) as broker:
        send(mqtt(broker.url, window=30, deadline_s=0.5), [MESSAGE] * 100)

    assert broker.most_unanswered == 30


def test_keeps_to_the_window_that_the_broker_asks_for() -> None:
    with ScriptedBroker(puback=lambda _: None, receive_maximum=7) as broker:
        send(mqtt(broker.url, deadline_s=0.5), [MESSAGE] * 100)

    assert broker.most_unanswered == 7


def test_counts_what_a_cancelled_batch_left_unanswered() -> None:
    async def life(provider: Mqtt) -> None:
        await provider.start()
        for _ in range(3):
            batch = asyncio.ensure_future(provider.send([MESSAGE] * 30))
            await asyncio.wait([batch], timeout=0.1)
            batch.cancel()
            await asyncio.wait([batch])
        await provider.aclose()

    with ScriptedBroker(puback=lambda _: None) as broker:
        asyncio.run(life(mqtt(broker.url, window=30)))

    assert broker.most_unanswered == 30


def test_keeps_to_the_size_that_the_broker_takes() -> None:
    with ScriptedBroker(maximum_packet_bytes=1000) as broker:
        large, small = send(mqtt(broker.url), [replace(MESSAGE, content={"body": "x" * 1000}), MESSAGE])

    assert (large.kind, large.code) == (OutcomeKind.REJECTED, "payload_too_large")
    assert small.kind is OutcomeKind.ACCEPTED


def test_calls_what_a_dying_broker_left_unanswered_unknown() -> None:
    async def life(provider: Mqtt, broker: ScriptedBroker) -> list[Outcome]:
        await provider.start()
        batch = asyncio.ensure_future(provider.send([MESSAGE] * 150))
        await asyncio.to_thread(wait_until, lambda: len(broker.published) == 100)
        broker.hang_up()
        started = time.monotonic()
        outcomes = await batch
        assert time.monotonic() - started < 1
        await provider.aclose()
        return outcomes

    with ScriptedBroker(puback=lambda _: None) as broker:
        outcomes = asyncio.run(life(mqtt(broker.url), broker))

    assert [(outcome.kind, outcome.code) for outcome in outcomes] == [(OutcomeKind.RETRY, NO_ANSWER)] * 150
    assert len(broker.published) == 100


def test_answers_at_once_while_it_is_not_connected(refusing_port: int) -> None:
    async def life(provider: Mqtt) -> float:
        await provider.start()
        started = time.monotonic()
        await provider.send([MESSAGE] * 200)
        took_s = time.monotonic() - started
        await provider.aclose()
        return took_s

    assert asyncio.run(life(mqtt(f"mqtt://127.0.0.1:{refusing_port}"))) < 0.5


def test_connects_again_after_the_broker_was_killed(tmp_path: Path) -> None:
    async def life(provider: Mqtt, server: servers.Mqtt) -> None:
        assert (await provider.send_one(MESSAGE)).kind is OutcomeKind.ACCEPTED
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await accepted_at_last(provider, MESSAGE)
        await provider.aclose()

    with servers.Mqtt(tmp_path) as server:
        asyncio.run(asyncio.wait_for(life(mqtt(server.url), server), 15))


def test_never_publishes_again_what_it_called_unknown() -> None:
    silent = iter([None])

    async def life(provider: Mqtt, broker: ScriptedBroker) -> None:
        await provider.start()
        lost = asyncio.ensure_future(provider.send_one(MESSAGE))
        await asyncio.to_thread(wait_until, lambda: len(broker.published) == 1)
        broker.hang_up()
        assert (await lost).code == NO_ANSWER
        await accepted_at_last(provider, replace(MESSAGE, device_id="till-2"))
        await provider.aclose()

    with ScriptedBroker(puback=lambda _: next(silent, 0)) as broker:
        asyncio.run(asyncio.wait_for(life(mqtt(broker.url), broker), 15))

    assert [message.topic.split("/")[1] for message in broker.published] == ["till-1", "till-2"]
    assert not any(message.dup for message in broker.published)


def test_gives_up_a_broker_that_answers_nothing_any_more() -> None:
    answers = iter([None])

    async def life(provider: Mqtt) -> None:
        await provider.send_one(MESSAGE)
        await accepted_at_last(provider, MESSAGE)
        await provider.aclose()

    with ScriptedBroker(puback=lambda _: next(answers, 0)) as broker:
        asyncio.run(asyncio.wait_for(life(mqtt(broker.url, deadline_s=0.3)), 15))

    assert len(broker.connects) == 2


def test_has_a_client_id_of_its_own_in_each_process(broker: ScriptedBroker) -> None:
    first, second = mqtt(broker.url), mqtt(broker.url)

    assert first._client_id != second._client_id
    assert len(first._client_id) <= 23


def test_logs_no_password(caplog: pytest.LogCaptureFixture, refusing_port: int) -> None:
    caplog.set_level(logging.DEBUG)

    [outcome] = send(mqtt(f"mqtt://user:hunter2@127.0.0.1:{refusing_port}"), [MESSAGE])

    assert "hunter2" not in caplog.text + outcome.detail


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://b", Broker("b", 1883, False, None, None, None)),
        ("mqtts://b", Broker("b", 8883, True, None, None, None)),
        ("mqtt://b:99/", Broker("b", 99, False, None, None, None)),
        ("mqtt://u:p%40ss%2F@[::1]:99", Broker("::1", 99, False, "u", "p@ss/", None)),
    ],
)
def test_reads_the_url(url: str, broker: Broker) -> None:
    assert Broker.from_url(url) == broker


@pytest.mark.parametrize(
    "url",
    [
        "http://b",
        "mqtt://",
        "b:1883",
        "mqtt://b:seventy",
        "mqtt://b:99999",
        "mqtt://u:hunter2@b/topic",
        "mqtt://b?x",
        "mqtt://[::1",
        "mqtt://" + "x" * 99,
    ],
)
def test_names_the_variable_of_a_url_that_it_cannot_read(url: str) -> None:
    with pytest.raises(ConfigError, match="MQTT_URL") as caught:
        mqtt(url)

    assert "hunter2" not in str(caught.value)


def test_sends_over_tls() -> None:
    with ScriptedBroker(tls=server_tls()) as broker:
        outcomes = send(mqtt(broker.url, ca_file=authority().ca_file), [MESSAGE] * 150)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len(broker.published) == 150


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_takes_an_untrusted_certificate_for_our_own_fault() -> None:
    with ScriptedBroker(tls=server_tls()) as broker:
        [outcome] = send(mqtt(broker.url), [MESSAGE])
    gc.collect()  # paho leaves the socket of a failed handshake to it, which warns

    assert (outcome.kind, outcome.code) == (OutcomeKind.MISCONFIGURED, "certificate")


def test_names_the_variable_of_a_certificate_file_that_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MQTT_CA_FILE"):
        mqtt("mqtts://127.0.0.1", ca_file=str(tmp_path / "missing.pem"))


@pytest.mark.parametrize("address", ["till-1", "agent:0.1_A/x"])
def test_takes_a_client_id_for_an_address(address: str) -> None:
    mqtt("mqtt://b").check_address(address)


@pytest.mark.parametrize("address", ["", " ", "a b", "a\n", "x" * 256])
def test_refuses_what_is_no_client_id(address: str) -> None:
    with pytest.raises(ValueError, match="client id"):
        mqtt("mqtt://b").check_address(address)
