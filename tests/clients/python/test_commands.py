"""Commands and telemetry: done once, told once, whatever is lost on the way."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.python.hosts import AGENT_PATH, AgentProcess, Host
from tests.clients.python.network import Network
from tests.clients.python.world import SITE, World
from tests.journey.api import wait_until
from tests.processes import spawn

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

DIES_DOING = """
import os, signal, sys, time
from pathlib import Path
from homepot_agent import Agent, Broker, Command, Hooks, Introduction, Options, Report

def on_command(command: Command) -> Report:
    os.kill(os.getpid(), signal.SIGKILL)

server, site, key, folder = sys.argv[1:]
said = Introduction(site_id=site, bootstrap_key=key, os_details="Debian")
options = Options(server=server, said=said, folder=Path(folder), poll_s=0.3)
with Agent(options, Hooks(on_push=print, on_command=on_command, on_state=lambda state: print(state, flush=True))):
    time.sleep(60)
"""


def command(world: World, device_id: str, command_type: str) -> str:
    answer = world.api.call("POST", f"/devices/{device_id}/commands", {"command_type": command_type, "payload": {}})
    assert answer.status == 201, answer
    return str(answer.body["command_id"])


def ended(world: World, command_id: str) -> dict[str, Any]:
    """The command's row, once it is over."""
    sql = "SELECT * FROM delivery_devicecommand WHERE command_id = %s"

    def over() -> bool:
        return world.record.rows(sql, command_id)[0]["status"] in ("completed", "failed")

    wait_until(over, "end of the command", 20, lambda: world.record.rows(sql, command_id))
    return world.record.rows(sql, command_id)[0]


def test_a_command_wakes_the_device_and_is_done_once_and_reported(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as host:
        host.wait_until_woken("mqtt")
        row = ended(world, command(world, host.device_id, "update_config"))

    assert (row["status"], row["result"]) == ("completed", {"did": "update_config"})
    assert [done.command_type for done in host.commands] == ["update_config"]
    assert host.titles == [], "a doorbell is nothing to show"


@pytest.mark.parametrize("lost", [b"/commands/", b"/status"])
def test_a_lost_answer_does_not_do_a_command_twice(world: World, tmp_path: Path, lost: bytes) -> None:
    with (
        Network(world.production.url, world.broker.url) as network,
        Host(world, tmp_path / "till", server=network.server_url) as host,
    ):
        host.wait_until_woken("mqtt")
        network.lose_answer_to(lost)
        row = ended(world, command(world, host.device_id, "ping"))
        wait_until(lambda: network.losses == 1, "lost answer")
        wait_until(lambda: host.agent.waiting["commands_open"] == 0, "end of it at the device")

    assert (row["status"], len(host.commands)) == ("completed", 1)


def test_a_command_that_killed_the_agent_is_not_done_again_but_reported(world: World, tmp_path: Path) -> None:
    arguments = [world.production.url, SITE, world.bootstrap_key, str(tmp_path / "till")]
    program = spawn(
        "program", [sys.executable, "-c", DIES_DOING, *arguments], folder=tmp_path, env={"PYTHONPATH": AGENT_PATH}
    )
    program.wait_for_line("device_id='dev-")
    device_id = program.output().rpartition("device_id='")[2].partition("'")[0]
    command_id = command(world, device_id, "ping")
    assert program.wait(20) == -9

    with AgentProcess(world, tmp_path / "till") as agent:
        row = ended(world, command_id)

    assert (row["status"], row["result"]) == ("failed", {"error": "interrupted"})
    assert agent.lines("command") == []


def test_a_hundred_measurements_go_at_once_and_a_lost_answer_stores_them_once(world: World, tmp_path: Path) -> None:
    with (
        Network(world.production.url, world.broker.url) as network,
        Host(world, tmp_path / "till", server=network.server_url) as host,
    ):
        host.wait_until_woken("mqtt")
        network.lose_answer_to(b"/agent/telemetry")
        for _ in range(100):
            host.agent.measured(cpu_usage=12.5, memory_usage=40, disk_usage=70)
        sql = "SELECT count(*) FROM delivery_telemetrylog t JOIN delivery_device d ON d.id = t.device_id"
        stored = f"{sql} WHERE d.device_id = %s AND type = 'metrics'"
        wait_until(lambda: world.record.number(stored, host.device_id) > 0, "measurements", 8)
        wait_until(lambda: host.agent.waiting["telemetry_batches"] == 0, "an empty buffer", 8)

        assert (world.record.number(stored, host.device_id), network.losses) == (100, 1)


def test_what_was_measured_before_a_stop_is_sent_by_the_next_run(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as first:
        first.wait_until_woken("mqtt")
        first.agent.note("error", "the printer is on fire", {"paper": 0})

    with Host(world, tmp_path / "till") as second:
        second.wait_until_woken("mqtt")
        sql = "SELECT message FROM delivery_telemetrylog WHERE type = 'error' AND message LIKE '%%on fire'"
        wait_until(lambda: bool(world.record.rows(sql)), "the line", 8)

    assert len(world.record.rows(sql)) == 1
