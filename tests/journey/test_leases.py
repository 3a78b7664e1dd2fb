"""Who holds a message, and for how long: a holder that slept too long, and a message that kills whoever holds it."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from tests import servers
from tests.journey.api import wait_until
from tests.journey.crashes import Crashes
from tests.processes import ROOT, Process

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

IN_FLIGHT = 2
LEASE_S = 20
SETTINGS = {
    "SEND_WINDOW": str(IN_FLIGHT),
    "SEND_DEADLINE_S": "6",
    "BATCH_BUDGET_S": "9",
    "TASK_LIMIT_S": "10",
    "LEASE_S": str(LEASE_S),
    "PYTHONPATH": str(ROOT / "tests" / "journey" / "packages"),
}
"""The lease as short as its rule allows; and a package that brings the provider `killer`."""
POISON = "Poison"
HELD = 6
INNOCENT = 12
DEATHS_ALONE = 3


@dataclass(frozen=True)
class Orders:
    """Messages that were written before anybody sends."""

    browsers: list[str]
    """Devices of Web Push."""
    innocent: list[str]
    """Devices of the killer, and in their midst:"""
    poisoned: str


@pytest.fixture(scope="module")
def orders(crashes: Crashes) -> Orders:
    with crashes.credentials_file.open("a", encoding="utf-8") as file:
        file.write('\n[killer.default]\nprofile = "ideal"\n')
    browsers = [crashes.device(f"Browser {number}", "web_push").device_id for number in range(HELD)]
    *innocent, poisoned = [crashes.device(f"Till {number}", "killer").device_id for number in range(INNOCENT + 1)]
    half = INNOCENT // 2
    crashes.api.order({"devices": browsers})
    crashes.api.order({"devices": innocent[:half]})
    crashes.api.order({"devices": [poisoned]}, title=POISON)
    crashes.api.order({"devices": innocent[half:]})
    while crashes.record.number("SELECT count(*) FROM delivery_job WHERE fanned_out_at IS NULL"):
        assert crashes.task("fan_out()").wait() == 0
    return Orders(browsers, innocent, poisoned)


@pytest.fixture(scope="module")
def sleeper(crashes: Crashes, orders: Orders) -> Iterator[Process]:
    """A sender that was stopped with two messages in flight and four still to send, until its lease was over."""
    service = crashes.services.web_push
    service.does("drip", delay_s=1.0)
    sender = crashes.task("send('web_push')")
    sender.wait_for("sends in flight", lambda: len(service.deliveries.counts) == IN_FLIGHT)
    sender.send(signal.SIGSTOP)
    service.heals()
    wait_until(
        lambda: crashes.record.number("SELECT count(*) FROM push_notification_logs WHERE claimed_until > now()") == 0,
        "end of the lease",
        LEASE_S + 5,
    )
    yield sender
    sender.kill()


@pytest.fixture(scope="module")
def worker(crashes: Crashes, sleeper: Process) -> Process:
    return crashes.start_again("killer")


Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def before_and_after(crashes: Crashes, orders: Orders, sleeper: Process, worker: Process) -> tuple[Tables, Tables]:
    """What the database held when another had sent all messages, and when the sleeper had woken and ended."""

    def about_browsers() -> Tables:
        return {
            table: crashes.record.rows(f"SELECT * FROM {table} WHERE {column} = ANY(%s) ORDER BY id", values)
            for table, column, values in (
                ("push_notification_logs", "device_id", orders.browsers),
                ("delivery_channel", "provider", ["web_push"]),
                ("delivery_deliveryattempt", "provider", ["web_push"]),
                ("delivery_providerstate", "provider", ["web_push"]),
            )
        }

    def statuses() -> Counter[str]:
        return Counter(row["status"] for row in about_browsers()["push_notification_logs"])

    wait_until(lambda: statuses() == {"sent": HELD}, "message sent by another", 60, statuses)
    before = about_browsers()
    sleeper.send(signal.SIGCONT)
    assert sleeper.wait() == 0
    return before, about_browsers()


def test_a_holder_that_slept_past_its_lease_changes_no_row(before_and_after: tuple[Tables, Tables]) -> None:
    before, after = before_and_after

    assert after == before


def test_it_says_for_each_message_that_the_claim_was_lost(
    sleeper: Process, before_and_after: tuple[Tables, Tables]
) -> None:
    assert sleeper.output().count('"claim lost"') == HELD


def test_only_what_was_in_flight_is_sent_again(crashes: Crashes, before_and_after: tuple[Tables, Tables]) -> None:
    sends = Counter(crashes.services.web_push.deliveries.counts.values())

    assert sends == {2: IN_FLIGHT, 1: HELD - IN_FLIGHT}


def deaths(worker: Process) -> int:
    return worker.output().count("exited with 'signal 9 (SIGKILL)'")


@pytest.fixture(scope="module")
def poisoned(crashes: Crashes, orders: Orders, worker: Process) -> dict[str, Any]:
    """The poisoned message after its end. Each time that its holder has died, the lease ends at once."""

    def message() -> dict[str, Any]:
        [row] = crashes.record.rows("SELECT * FROM push_notification_logs WHERE device_id = %s", orders.poisoned)
        return row

    for death in range(1, DEATHS_ALONE + 2):
        wait_until(lambda: deaths(worker) >= death, f"death {death}")  # noqa: B023  (called before the next one)
        for table, column in (("push_notification_logs", "claim_token"), ("delivery_claim", "token")):
            crashes.record.execute(
                f"UPDATE {table} SET claimed_until = now() WHERE {column} = %s", message()["claim_token"]
            )
    wait_until(lambda: message()["status"] != "pending", "end of the poisoned message", 30, message)
    return message()


def test_a_message_that_kills_three_holders_alone_is_poison(poisoned: dict[str, Any]) -> None:
    assert (poisoned["status"], poisoned["error_code"]) == ("failed", "poison")
    assert (poisoned["lost_claims"], poisoned["attempt_count"]) == (DEATHS_ALONE, DEATHS_ALONE + 1)


def test_whoever_was_in_a_batch_with_poison_is_sent(crashes: Crashes, orders: Orders, poisoned: dict[str, Any]) -> None:
    """Not always acked: these simulated devices live in the process that dies. `make chaos CASE=poison` has others."""

    def sent() -> int:
        return crashes.record.number(
            "SELECT count(*) FROM push_notification_logs WHERE device_id = ANY(%s) AND status IN ('sent', 'delivered')",
            orders.innocent,
        )

    wait_until(lambda: sent() == INNOCENT, "send to all others", 60, sent)


def test_nobody_else_dies_and_no_hint_goes_round_for_ever(
    own_redis: servers.Redis, worker: Process, poisoned: dict[str, Any]
) -> None:
    time.sleep(3)

    with redis.Redis(port=own_redis.port) as client:
        assert client.llen("push.killer") == 0
    assert deaths(worker) == DEATHS_ALONE + 1
