"""`make run` itself: a copy of this repository is started, its children are killed, and it ends without a trace."""

import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from homepot import supervision
from tests.processes import ROOT, Process, free_port, spawn, url_answers

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]
READY_S = 120.0
"""Generous: a dozen processes start at once, on a machine that may have other work."""


class Copy:
    """The product in a folder of its own, as a person would have cloned it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a copy"
        self.var = self.folder / "var"
        self.port = free_port()
        self.launchers: list[Process] = []
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(".*", "var", "static", "__pycache__"))

    def launch(self) -> Process:
        env = {"PORT": str(self.port), "HOST": "", "SITES": "2", "FLEET": "5", "HISTORY": "0"}
        command = [sys.executable, "-m", "homepot.embedded"]
        self.launchers.append(spawn("launcher", command, folder=self.folder.parent, cwd=self.folder, env=env))
        return self.launchers[-1]

    def start(self) -> Process:
        launcher = self.launch()
        launcher.wait_for_line("Ready after", READY_S)
        return launcher

    def children(self) -> dict[str, int]:
        """Process ids by name, of those that run."""
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.var / "supervisord.conf"), "status"]
        status = subprocess.run(command, capture_output=True, text=True, cwd=self.folder).stdout
        return {name: int(pid) for name, pid in re.findall(r":(\w+)\s+RUNNING\s+pid (\d+)", status)}

    def pid_of(self, name: str) -> int:
        """Of a child that runs, or that is being started again."""
        seen: list[int] = []

        def runs() -> bool:
            seen.extend(pid for child, pid in self.children().items() if child == name)
            return bool(seen)

        self.launchers[0].wait_for(f"{name} runs", runs, READY_S)
        return seen[0]

    def replaced(self, name: str, pid: int) -> bool:
        return self.children().get(name, pid) != pid

    def end(self) -> None:
        for launcher in self.launchers:
            if launcher.alive:
                launcher.stop(timeout_s=READY_S)
        supervision.stop_leftovers(self.var)
        if (self.var / "sockets").is_symlink():
            shutil.rmtree((self.var / "sockets").readlink())


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    made = Copy(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    made = Copy(tmp_path_factory.mktemp("running"))
    made.start()
    yield made
    made.end()


def names_in_procfile() -> set[str]:
    return set(re.findall(r"^(\w+): ", (ROOT / "Procfile.dev").read_text(), flags=re.MULTILINE))


def test_it_prints_the_address_and_the_keys_that_it_keeps(running: Copy) -> None:
    said = running.launchers[0].output()

    assert f"http://127.0.0.1:{running.port}" in said
    for name in ("admin-password", "api-key", "bootstrap-key"):
        assert (running.var / name).read_text().strip() in said


def test_its_keys_are_for_its_owner_only(running: Copy) -> None:
    keys = [
        running.var / name for name in ("secret-key", "admin-password", "api-key", "bootstrap-key", "mqtt-password")
    ]

    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_every_child_comes_back_after_a_kill(running: Copy) -> None:
    launcher = running.launchers[0]
    launcher.wait_for("all children", lambda: running.children().keys() == names_in_procfile(), READY_S)

    for name in sorted(names_in_procfile()):
        pid = running.pid_of(name)
        with suppress(psutil.NoSuchProcess):  # a child may end by itself when one that it talks to was killed
            psutil.Process(pid).kill()
        launcher.wait_for(f"{name} again", partial(running.replaced, name, pid), READY_S)

    launcher.wait_for_url(f"http://127.0.0.1:{running.port}/livez", READY_S)


def test_a_killed_supervisor_is_started_again_with_all_children(running: Copy) -> None:
    launcher = running.launchers[0]
    launcher.wait_for("all children", lambda: running.children().keys() == names_in_procfile(), READY_S)
    before = set(running.children().values())

    psutil.Process(int((running.var / "supervisord.pid").read_text())).kill()

    launcher.wait_for_line("The supervisor ended", READY_S)
    launcher.wait_for("all children", lambda: running.children().keys() == names_in_procfile(), READY_S)
    assert not before & set(running.children().values())


def test_a_second_run_in_the_same_folder_is_refused(running: Copy) -> None:
    second = running.launch()

    assert second.wait() == 1
    assert f"runs already from this folder: process {running.launchers[0].pid}" in second.output()


def test_a_second_copy_runs_at_the_same_time(running: Copy, copy: Copy) -> None:
    copy.start()

    assert url_answers(f"http://127.0.0.1:{copy.port}/livez")
    assert url_answers(f"http://127.0.0.1:{running.port}/livez")


@pytest.fixture(scope="module")
def often_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    made = Copy(tmp_path_factory.mktemp("often"))
    yield made
    made.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_without_a_trace_and_starts_again_on_the_same_data(often_started: Copy, number: signal.Signals) -> None:
    launcher = often_started.start()
    sockets = (often_started.var / "sockets").readlink()

    launcher.stop(number, READY_S)

    assert supervision.leftovers(often_started.var) == []
    assert not sockets.exists()
    [first_password, *_] = re.findall(r"sign in +admin +(\S+)", often_started.launchers[0].output())
    assert first_password in launcher.output()


def test_what_a_killed_launcher_left_is_stopped_by_the_next(copy: Copy) -> None:
    launcher = copy.start()
    left = {process.pid for process in supervision.leftovers(copy.var)}
    launcher.kill_leader()

    again = copy.start()

    [said] = re.findall(r"left (\d+) processes", again.output())
    assert int(said) >= len(left) > 1  # more by then, where a worker was still forking
    assert not left & {process.pid for process in supervision.leftovers(copy.var)}


def test_a_busy_port_is_named_with_its_process_and_another_is_offered(copy: Copy) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", copy.port))
        holder.listen()

        launcher = copy.launch()

        assert launcher.wait() == 1
    assert re.search(rf"Port {copy.port} is taken by .*process \d+.*\n.*make run PORT=\d+", launcher.output())
