"""An agent and the product: from the bootstrap key to a message that is known to have arrived."""

import stat
import time
from pathlib import Path

import pytest

from tests.clients.python.hosts import FAILS, Host
from tests.clients.python.network import Network
from tests.clients.python.world import World
from tests.journey.api import wait_until
from tests.processes import free_port

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]


def test_a_new_device_gets_a_message_and_acks_it_at_the_true_time(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as host:
        host.wait_until_woken("mqtt")
        message_id = world.push(host.device_id, "hello")
        host.wait_until_pushed(1)
        [row] = world.wait_until_delivered(host.device_id, 1)

    [(message, came_at)] = host.pushes
    assert (message.message_id, message.title, message.body) == (message_id, "hello", "for you")
    assert row["provider"] in ("mqtt", "inbox")
    assert not row["clock_skewed"]
    assert row["received_at"].timestamp() == pytest.approx(came_at, abs=0.25)


def test_what_the_device_is_lies_where_only_its_owner_may_read_it(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as host:
        host.wait_until_woken("mqtt")

    folder = tmp_path / "till"
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir() if file.is_file()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert {"identity.json", "journal", "status.json"} <= modes.keys()


def test_a_lost_first_answer_does_not_lock_the_device_out(world: World, tmp_path: Path) -> None:
    with Network(world.production.url, world.broker.url) as network:
        network.lose_answer_to(b"bootstrap-provision")

        with Host(world, tmp_path / "unlucky", server=network.server_url) as host:
            host.wait_until_woken("mqtt")

    found = world.record.rows("SELECT device_id FROM delivery_device WHERE name LIKE 'unlucky %%'")
    assert [row["device_id"] for row in found] == [host.device_id]
    audits = world.record.rows("SELECT action FROM delivery_auditlog WHERE object_id = %s ORDER BY id", host.device_id)
    assert [row["action"] for row in audits][:2] == ["provisioned", "provisioned again"]


def test_a_device_without_a_broker_finds_its_messages_in_the_inbox(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "sensor", mqtt="") as host:
        wait_until(lambda: bool(host.device_id), "a device")
        world.push(host.device_id, "fetch me")
        host.wait_until_pushed(1)
        [row] = world.wait_until_delivered(host.device_id, 1)

    assert (row["provider"], host.titles) == ("inbox", ["fetch me"])


def test_a_program_that_fails_on_one_message_gets_the_next_one(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as host:
        host.wait_until_woken("mqtt")
        world.push(host.device_id, FAILS)
        world.push(host.device_id, "the next one")
        host.wait_until_pushed(2)
        world.wait_until_delivered(host.device_id, 2)

    assert sorted(host.titles) == sorted([FAILS, "the next one"])


def test_the_broker_that_does_not_answer_is_named(world: World, tmp_path: Path) -> None:
    port = free_port()

    with Host(world, tmp_path / "till", mqtt=f"mqtt://127.0.0.1:{port}") as host:
        wait_until(lambda: f"127.0.0.1:{port}" in host.agent.state.problem, "word of it", 10)
        world.push(host.device_id, "by the inbox meanwhile")
        host.wait_until_pushed(1)

    assert host.titles == ["by the inbox meanwhile"]


def test_a_second_run_is_the_same_device_and_repeats_nothing(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as first:
        first.wait_until_woken("mqtt")
        world.push(first.device_id, "once")
        first.wait_until_pushed(1)
        world.wait_until_delivered(first.device_id, 1)

    with Host(world, tmp_path / "till") as second:
        second.wait_until_woken("mqtt")
        time.sleep(0.2)  # for one message too many
        again = second.device_id

    assert again == first.device_id
    assert second.titles == []
