"""One job passes every place where a process can die; somebody dies at each, and every message ends as it should."""

import json
import signal
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import paho.mqtt.publish
import pytest
import redis

from homepot import brokers
from tests import servers
from tests.delivery.mqtt import Listener
from tests.journey.api import Api, wait_until
from tests.journey.crashes import COUNTING, PROVIDERS, Crashes, DoomedWeb

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SENDS = {
    "after_claim": 1,
    "after_request": 2,
    "after_answer": 2,
    "before_outcome_commit": 2,
    "after_outcome_commit": 1,
}
"""How often a provider gets, in all, the one message of a batch whose sender dies there."""
ASKS_FOR_A_TOKEN_FIRST = ("fcm", "wns")
WEBS = ("before_hint", "before_inbox_commit", "after_inbox_commit", "before_ack_commit", "after_ack_commit")
IN_THE_INBOX = (*WEBS[1:], "over MQTT")
"""Devices without a push channel, by what happens to their message."""
CHUNK = 8
SETTINGS = {"SEND_BATCH": "1", "FANOUT_CHUNK": str(CHUNK), "LEASE_S": "3600"}
"""Every batch is one message, and no lease ends before the test says so."""
OVERDUE = 2_100
SWEPT_AT_ONCE = 2_000


@pytest.fixture(scope="module")
def webs(crashes: Crashes) -> dict[str, DoomedWeb]:
    """A web process for each place at which one dies."""
    return {place: crashes.doomed_web(place) for place in WEBS}


@pytest.fixture(scope="module")
def inboxes(crashes: Crashes) -> dict[str, Api]:
    return {what: crashes.device(f"Till {what}") for what in IN_THE_INBOX}


@dataclass(frozen=True)
class Order:
    """The job for all devices, and what its first try left behind."""

    job_id: str
    devices: int
    jobs_after_the_crash: list[str]
    hints_after_the_crash: int


@pytest.fixture(scope="module")
def order(
    crashes: Crashes, webs: Mapping[str, DoomedWeb], inboxes: Mapping[str, Api], own_redis: servers.Redis
) -> Order:
    """Ordered at a web process that dies before its hint, and again with the same Idempotency-Key at another."""
    pushed = [crashes.device(f"{provider} {place}", provider) for provider in PROVIDERS for place in SENDS]
    key = (crashes.production.folder / "api-key").read_text(encoding="utf-8").strip()
    backend = Api(crashes.api.url, headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "prices"})
    target = {"devices": [device.device_id for device in (*pushed, *inboxes.values())]}

    with pytest.raises(ConnectionError):
        backend.at(webs["before_hint"].ready()).order(target)
    assert webs["before_hint"].died()
    left = [str(job["job_id"]) for job in crashes.record.rows("SELECT job_id FROM delivery_job")]
    with redis.Redis(port=own_redis.port) as client:
        hints = client.llen("fanout")

    return Order(backend.order(target), len(target["devices"]), left, int(str(hints)))


@pytest.fixture(scope="module")
def chunks(crashes: Crashes, order: Order) -> dict[str, int]:
    """How many messages there were after each death of a fan-out, and in the end; chunk after chunk."""
    written = {}
    for place in ("before_chunk_commit", "after_chunk_commit", "before_hint"):
        assert crashes.dies("fan_out()", place)
        written[place] = len(crashes.record.messages(order.job_id))
    while crashes.record.number("SELECT count(*) FROM delivery_job WHERE fanned_out_at IS NULL"):
        assert crashes.task("fan_out()").wait() == 0
    written["in the end"] = len(crashes.record.messages(order.job_id))
    return written


Victims = dict[tuple[str, str], int]
"""Provider and place: the message (row id) that was on its way."""


@pytest.fixture(scope="module")
def victims(crashes: Crashes, chunks: dict[str, int]) -> Victims:
    """One sender after the other dies, at each place and of each provider, with one message each."""

    def kill_senders(provider: str) -> Victims:
        found: Victims = {}
        for place in SENDS:
            before = tried(crashes, provider)
            second = place == "after_request" and provider in ASKS_FOR_A_TOKEN_FIRST
            assert crashes.dies(f"send('{provider}')", f"{place}:2" if second else place)
            [found[provider, place]] = tried(crashes, provider) - before
        return found

    with ThreadPoolExecutor(3) as pool:
        return {key: row for found in pool.map(kill_senders, PROVIDERS) for key, row in found.items()}


def tried(crashes: Crashes, provider: str) -> set[int]:
    """Messages (row ids) of this provider that somebody claimed."""
    rows = crashes.record.rows(
        "SELECT id FROM push_notification_logs WHERE provider = %s AND attempt_count > 0", provider
    )
    return {row["id"] for row in rows}


@dataclass(frozen=True)
class Sweeps:
    """What two sweeps that died after their first chunk had done."""

    freed: int
    expired: int


@pytest.fixture(scope="module")
def sweeps(crashes: Crashes, victims: Victims) -> Sweeps:
    """More messages than one chunk holds, whose holder is dead and whose time is over."""
    device = crashes.device("Till that is never asked")
    crashes.record.execute(
        "INSERT INTO push_notification_logs (message_id, device_id, provider, credential, status, priority, created_at,"
        " expires_at, claim_token, claimed_until)"
        " SELECT gen_random_uuid(), %s, 'inbox', '', 'pending', 2, now(), now(), gen_random_uuid(), now()"
        " FROM generate_series(1, %s)",
        device.device_id,
        OVERDUE,
    )
    mine = "FROM push_notification_logs WHERE job_id IS NULL"
    crashes.record.execute(
        f"INSERT INTO delivery_claim (token, claimed_until, held)"
        f" SELECT claim_token, claimed_until, jsonb_build_array(id) {mine}"
    )
    assert crashes.dies("release_lost()", "after_sweep_chunk")
    freed = crashes.record.number(f"SELECT count(*) {mine} AND claim_token IS NULL")
    assert crashes.dies("expire()", "after_sweep_chunk")
    return Sweeps(freed, crashes.record.number(f"SELECT count(*) {mine} AND status = 'expired'"))


@pytest.fixture(scope="module")
def again(crashes: Crashes, order: Order, victims: Victims, sweeps: Sweeps) -> dict[int, dict[str, Any]]:
    """Everything runs again, and devices ack what they get; the job's messages by row id, after their end."""
    crashes.end_leases()
    crashes.start_again()

    def on_their_way() -> list[dict[str, Any]]:
        return [row for row in crashes.record.messages(order.job_id) if row["provider"] != "inbox"]

    wait_until(
        lambda: {row["status"] for row in on_their_way()} == {"sent"},
        "message sent after all",
        60,
        lambda: Counter((row["provider"], row["status"], row["error_code"]) for row in on_their_way()),
    )
    acks = [{"message_id": str(row["message_id"]), "device_id": row["device_id"]} for row in on_their_way()]
    assert crashes.api.call("POST", "/push/ack/batch", acks).status == 200
    return {row["id"]: row for row in on_their_way()}


def test_an_order_is_kept_when_its_web_process_dies_before_the_hint(order: Order) -> None:
    assert order.jobs_after_the_crash == [order.job_id]
    assert order.hints_after_the_crash == 0


def test_a_fan_out_that_dies_neither_skips_nor_doubles_a_chunk(order: Order, chunks: dict[str, int]) -> None:
    assert chunks == {
        "before_chunk_commit": 0,
        "after_chunk_commit": CHUNK,
        "before_hint": 2 * CHUNK,
        "in the end": order.devices,
    }


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("place", SENDS)
def test_a_message_whose_sender_died_is_delivered(
    victims: Victims, again: dict[int, dict[str, Any]], provider: str, place: str
) -> None:
    row = again[victims[provider, place]]

    assert row["status"] == "delivered"
    assert row["attempt_count"] == (1 if place == "after_outcome_commit" else 2)
    assert (row["claim_token"], row["lost_claims"], row["error_code"]) == (None, 0, "")


@pytest.mark.parametrize("provider", COUNTING)
@pytest.mark.parametrize("place", SENDS)
def test_a_provider_gets_it_again_only_where_we_cannot_know(
    crashes: Crashes, victims: Victims, again: dict[int, dict[str, Any]], provider: str, place: str
) -> None:
    row = again[victims[provider, place]]

    sends = crashes.sends(provider, str(row["message_id"]))

    assert sends == SENDS[place]


def test_a_sweep_that_dies_has_done_what_it_committed(sweeps: Sweeps) -> None:
    assert sweeps == Sweeps(freed=SWEPT_AT_ONCE, expired=SWEPT_AT_ONCE)


def test_the_next_sweep_does_the_rest_and_nothing_twice(crashes: Crashes, again: dict[int, dict[str, Any]]) -> None:
    def ends() -> Counter[tuple[str, int, bool]]:
        rows = crashes.record.rows("SELECT * FROM push_notification_logs WHERE job_id IS NULL")
        return Counter((row["status"], row["lost_claims"], row["expired_at"] == row["expires_at"]) for row in rows)

    wait_until(lambda: ends() == {("expired", 0, True): OVERDUE}, "end of all that is overdue", 30, ends)


def message_of(crashes: Crashes, device: Api) -> dict[str, Any]:
    [row] = crashes.record.rows("SELECT * FROM push_notification_logs WHERE device_id = %s", device.device_id)
    return row


@pytest.mark.parametrize(("place", "left"), [("before_inbox_commit", "pending"), ("after_inbox_commit", "sent")])
def test_a_message_is_handed_out_again_when_the_answer_was_lost(
    crashes: Crashes, webs: Mapping[str, DoomedWeb], inboxes: Mapping[str, Api], chunks: object, place: str, left: str
) -> None:
    device = inboxes[place]

    with pytest.raises(ConnectionError):
        device.at(webs[place].ready()).pending()

    assert webs[place].died()
    assert message_of(crashes, device)["status"] == left
    [push] = device.pending()
    assert push["message_id"] == str(message_of(crashes, device)["message_id"])


@pytest.mark.parametrize(("place", "left"), [("before_ack_commit", "sent"), ("after_ack_commit", "delivered")])
def test_an_ack_without_an_answer_is_sent_again_and_counts_once(
    crashes: Crashes, webs: Mapping[str, DoomedWeb], inboxes: Mapping[str, Api], chunks: object, place: str, left: str
) -> None:
    device = inboxes[place]
    [push] = device.pending()
    ack = {"message_id": push["message_id"], "status": "delivered"}

    with pytest.raises(ConnectionError):
        device.at(webs[place].ready()).call("POST", "/push/ack", ack)
    assert webs[place].died()
    after_crash = message_of(crashes, device)
    answer = device.call("POST", "/push/ack", ack)

    row = message_of(crashes, device)
    assert (after_crash["status"], answer.status, row["status"]) == (left, 200, "delivered")
    assert after_crash["acked_at"] in (None, row["acked_at"])
    assert receipts(crashes, row) == 1


def test_an_ack_over_mqtt_survives_the_death_of_its_consumer_twice(
    crashes: Crashes, broker: servers.Mqtt, inboxes: Mapping[str, Api], again: object
) -> None:
    """`again` runs the third consumer, which is stopped first: there may be one at a time."""
    device = inboxes["over MQTT"]
    [push] = device.pending()
    ack = {"message_id": push["message_id"], "ack_token": push["payload"]["ack_token"]}
    crashes.production.processes["mqtt_acks"].stop()
    left: list[str] = []

    for place in ("before_ack_commit", "after_ack_commit"):
        consumer = crashes.production.start("mqtt_acks", instance=f"mqtt_acks-{place}", CRASH_AT=place)
        if not left:
            consumer.wait_for_line("taking acks")
            publish(broker, f"devices/{device.device_id}/acks", ack)
        assert consumer.wait() == -signal.SIGKILL
        left.append(message_of(crashes, device)["status"])
    with Listener(broker.url, "devices/+/acks/done") as done:
        crashes.production.start("mqtt_acks")
        confirmed = done.payloads(1)

    row = message_of(crashes, device)
    assert (left, row["status"]) == (["sent", "delivered"], "delivered")
    assert confirmed == [{"message_ids": [push["message_id"]]}]
    assert receipts(crashes, row) == 1


def publish(broker: servers.Mqtt, topic: str, content: Mapping[str, str]) -> None:
    login: Any = {"username": brokers.MQTT_USER, "password": broker.password}
    paho.mqtt.publish.single(topic, json.dumps(content), qos=1, hostname="127.0.0.1", port=broker.port, auth=login)


def receipts(crashes: Crashes, row: Mapping[str, Any]) -> int:
    return crashes.record.number("SELECT count(*) FROM push_delivery_logs WHERE push_id = %s", row["message_id"])
