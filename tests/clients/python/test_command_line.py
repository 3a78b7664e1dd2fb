"""`homepot-agent` as people use it: what it says when something is wrong, and how it is doing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.services import EmulatedFcm, running
from tests.clients.python.hosts import AGENT_PATH, AgentProcess, Host
from tests.clients.python.world import SITE, World
from tests.journey.api import wait_until
from tests.processes import free_port

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]


def agent(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homepot_agent", *(str(argument) for argument in arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, input=stdin, timeout=20, env={"PYTHONPATH": AGENT_PATH}
    )


def test_needs_no_more_than_it_declares() -> None:
    own = "import homepot_agent, homepot_agent.command_line, sys"
    print_others = "print(*sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"

    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {_packages()!r}; {own}; {print_others}"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": AGENT_PATH},
    )

    assert set(done.stdout.split()) <= {"__main__", "homepot_agent", "paho", "urllib3"}, done.stderr
    assert "homepot_agent" in done.stdout, done.stderr


def _packages() -> list[str]:
    """Where pip put what this environment has, without what its `.pth` files start."""
    return [path for path in sys.path if path.endswith("site-packages")]


def test_asks_for_the_bootstrap_key_where_the_device_has_none(tmp_path: Path) -> None:
    done = agent("run", "--server", "http://127.0.0.1:1", "--site", SITE, "--state", tmp_path)

    assert (done.returncode, "--bootstrap-key" in done.stderr) == (1, True)


@pytest.mark.parametrize("server", ["http://push.example.com", "push.example.com", "ftp://push.example.com"])
def test_carries_no_key_over_an_unsafe_way(tmp_path: Path, server: str) -> None:
    done = agent("run", "--server", server, "--site", SITE, "--state", tmp_path, "--bootstrap-key", "k")

    assert (done.returncode, "https" in done.stderr) == (2, True)


def test_says_how_a_broker_is_written(tmp_path: Path) -> None:
    done = agent(
        *("run", "--server", "https://h", "--site", SITE, "--state", tmp_path, "--mqtt", "broker:1883"),
        *("--bootstrap-key", "k"),
    )

    assert (done.returncode, "mqtt://user:password@host:1883" in done.stderr) == (2, True)


def test_says_why_no_answer_comes(tmp_path: Path) -> None:
    options = ("--server", f"http://127.0.0.1:{free_port()}", "--site", SITE, "--state", str(tmp_path / "till"))

    assert "nobody answers there" in first_word(*options, key="k")


def test_says_that_a_certificate_is_not_trusted(tmp_path: Path) -> None:
    with running(EmulatedFcm()) as somebody:  # who speaks TLS with a certificate of their own
        options = ("--server", somebody.url, "--site", SITE, "--state", str(tmp_path / "till"))

        assert "--ca-file" in first_word(*options, key="k")


def first_word(*options: str, key: str) -> str:
    """The first line on stderr of an agent that is to run; then it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "homepot_agent", "run", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={"PYTHONPATH": AGENT_PATH, "HOMEPOT_BOOTSTRAP_KEY": key},
    )
    with process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
    return said


def test_says_that_nobody_lives_in_a_folder(tmp_path: Path) -> None:
    done = agent("status", "--state", tmp_path)

    assert (done.returncode, "homepot-agent run" in done.stderr) == (1, True)


def test_tells_how_an_agent_is_doing_while_it_runs_and_after(world: World, tmp_path: Path) -> None:
    with AgentProcess(world, tmp_path / "till") as running:
        device_id = running.wait_until_woken().device_id
        well = agent("status", "--state", tmp_path / "till")
        second = agent(
            *("run", "--server", world.production.url, "--site", SITE, "--state", tmp_path / "till"),
            *("--bootstrap-key", "k"),
        )
        running.process.stop()
    stopped = agent("status", "--state", tmp_path / "till")

    told = json.loads(well.stdout)
    assert (well.returncode, told["runs"], told["online"], told["way"]) == (0, True, True, "mqtt")
    assert (told["device_id"], "api_key" in told) == (device_id, False)
    assert (second.returncode, "another agent runs" in second.stderr) == (1, True)
    assert (stopped.returncode, json.loads(stopped.stdout)["runs"]) == (1, False)


@pytest.mark.parametrize(
    ("site", "key", "name", "advice"),
    [
        ("site-001", "wrong", "", "the bootstrap key is not that of site-001"),
        ("site-999", "", "", "the server knows no site site-999"),
        ("site-001", "", "Taken name", "Choose another --name"),
    ],
)
def test_says_what_to_do_where_the_server_gives_no_key(
    world: World, tmp_path: Path, site: str, key: str, name: str, advice: str
) -> None:
    api = world.api.provision(SITE, world.bootstrap_key, "Taken name") if name and not _taken(world) else None
    if api is not None:
        api.pending()  # its key is used now
    options = ("--server", world.production.url, "--site", site, "--state", str(tmp_path / "till"), "--name", name)

    assert advice in first_word(*options, key=key or world.bootstrap_key)


def _taken(world: World) -> bool:
    return bool(world.record.rows("SELECT 1 FROM delivery_device WHERE name = 'Taken name'"))


def test_a_revoked_key_is_said_and_a_new_one_adopted(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "till"
    with Host(world, folder) as host:
        host.wait_until_woken("mqtt")
        assert world.api.call("DELETE", f"/devices/{host.device_id}/key").status == 204
        wait_until(lambda: "homepot-agent adopt" in host.agent.state.problem, "word of it", 20)
        key = world.api.call("POST", f"/devices/{host.device_id}/key").body["api_key"]

    options = ("--server", world.production.url, "--site", SITE, "--state", folder, "--device-id", host.device_id)
    adopted = agent("adopt", *options, stdin=f"{key}\n")
    with Host(world, folder) as again:
        again.wait_until_woken("mqtt")

    assert (adopted.returncode, again.device_id) == (0, host.device_id)
    assert key not in adopted.stdout + adopted.stderr
