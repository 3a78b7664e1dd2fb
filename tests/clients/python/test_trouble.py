"""An agent in trouble: a cut network, kill -9, servers that restart, a full disk, a clock that is set."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests import faketime
from tests.clients.python import cut
from tests.clients.python.hosts import AgentProcess, Host
from tests.clients.python.network import Network
from tests.clients.python.world import World
from tests.journey.api import wait_until
from tests.journey.small_disk import NoSmallDisk, small_disk

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]


def test_a_cut_of_the_network_loses_nothing_doubles_nothing_and_bends_no_time(world: World, tmp_path: Path) -> None:
    figures = cut.scene(world, tmp_path / "till", cut_s=4, during=20)

    assert figures.good, figures
    assert figures.ordered == 30
    assert figures.back_after_ms < 5_000


def test_acks_take_the_way_over_the_broker_where_the_server_is_out_of_reach(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homepot_agent.server.READ_S", 0.5)

    with (
        Network(world.production.url, world.broker.url) as network,
        Host(world, tmp_path / "till", server=network.server_url, mqtt=network.mqtt_url) as host,
    ):
        host.wait_until_woken("mqtt")
        network.cut(server_only=True)
        network.drop()
        world.push(host.device_id, "by the broker alone")
        [row] = world.wait_until_delivered(host.device_id, 1)
        wait_until(lambda: host.agent.waiting["acks_owed"] == 0, "word that it is committed")

    assert row["received_at"].timestamp() == pytest.approx(host.pushes[0][1], abs=0.5)


def test_kill_9_in_the_middle_of_a_stream_loses_nothing_and_repeats_only_what_it_says(
    world: World, tmp_path: Path
) -> None:
    with AgentProcess(world, tmp_path / "till") as agent:
        device_id = agent.wait_until_woken().device_id
        for number in range(30):
            world.push(device_id, f"number {number}")
            if number % 10 == 5:
                agent.process.kill()
                agent.start()
        world.wait_until_delivered(device_id, 30)
        wait_until(lambda: len(set(agent.titles)) == 30, "all titles", 10, lambda: agent.titles)

    first_time = Counter(push["title"] for push in agent.lines("push") if not push["repeated"])
    repeated = [push["title"] for push in agent.lines("push") if push["repeated"]]
    assert {*first_time, *repeated} == {f"number {number}" for number in range(30)}
    assert max(first_time.values()) == 1
    assert len(repeated) <= 30


def test_goes_on_after_server_and_broker_were_restarted(world: World, tmp_path: Path) -> None:
    with Host(world, tmp_path / "till") as host:
        host.wait_until_woken("mqtt")
        world.production.processes["web"].kill()
        world.broker.restart()
        world.production.start("web").wait_for_url(f"{world.production.url}/livez")
        world.push(host.device_id, "after the restart")
        host.wait_until_pushed(1, 40)
        [row] = world.wait_until_delivered(host.device_id, 1)

    assert row["received_at"].timestamp() == pytest.approx(host.pushes[0][1], abs=0.25)


def test_a_full_disk_stops_nothing_and_is_said(world: World, tmp_path: Path) -> None:
    try:
        with (
            small_disk(tmp_path / "disk", size_mb=1) as disk,
            AgentProcess(world, tmp_path / "disk" / "till", log_folder=tmp_path) as agent,
        ):
            device_id = agent.wait_until_woken().device_id
            disk.fill()
            world.push(device_id, "while it is full")
            world.wait_until_delivered(device_id, 1)
            wait_until(lambda: bool(agent.state["disk_full"]), "word of it", 10, agent.process.output)
            disk.free()
            wait_until(lambda: not agent.state["disk_full"], "word that it is over", 10, agent.process.output)
    except NoSmallDisk as reason:
        pytest.skip(str(reason))

    assert agent.titles == ["while it is full"]
    assert "make room in" in agent.process.output()


def test_acks_tell_the_true_time_although_the_clock_is_wrong_and_is_set(world: World, tmp_path: Path) -> None:
    if faketime.library() is None:
        pytest.skip(faketime.MISSING)
    offset = tmp_path / "offset"
    offset.write_text("-86400\n")

    with AgentProcess(world, tmp_path / "till", env=faketime.off_as_told_by(offset)) as agent:
        device_id = agent.wait_until_woken().device_id
        for number, seconds in enumerate(("-86400", "+7200")):
            offset.write_text(f"{seconds}\n")
            time.sleep(1.2)  # libfaketime looks once a second
            world.push(device_id, seconds)
            world.wait_until_delivered(device_id, number + 1)

    rows = world.messages(device_id)
    assert [row["clock_skewed"] for row in rows] == [False] * 2
    for row in rows:
        assert row["sent_at"].timestamp() - 0.25 <= row["received_at"].timestamp() <= row["acked_at"].timestamp() + 0.25


def test_stops_on_sigterm_with_everything_written(world: World, tmp_path: Path) -> None:
    with AgentProcess(world, tmp_path / "till") as agent:
        agent.wait_until_woken()

        began = time.monotonic()
        status = agent.process.stop(signal.SIGTERM)

    assert status == 0
    assert time.monotonic() - began < 6
