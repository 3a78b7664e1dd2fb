"""The two commands as a person runs them; the services in a process of their own, ended by its id."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from simulator.services import PushServices, running
from tests.processes import ROOT
from tests.simulator.services.clients import Https

STOP_S = 30
ENVIRONMENT = {**os.environ, "DEBUG": "1", "SIMULATOR": "1"}


@contextmanager
def push_services(home: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """The addresses that it printed. At the end it must have stopped cleanly."""
    command = [sys.executable, "manage.py", "push_services", "--ca-dir", str(home), *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            status = process.wait(STOP_S)
    assert status == 0


def fault(home: Path, *arguments: str) -> str:
    """What `manage.py fault` prints."""
    output = StringIO()
    call_command("fault", *arguments, "--ca-dir", str(home), stdout=output)
    return output.getvalue()


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nobody listens."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def test_a_fault_is_injected_listed_and_cleared(home: Path) -> None:
    with running(PushServices(home=home)) as services:
        injected = fault(home, "fcm", "503", "--retry-after", "30", "--share", "1.0", "--for", "120")
        with Https(services.fcm.url, services.fcm.ca_file) as client:
            reply = client.post(f"/v1/projects/{services.fcm.project_id}/messages:send")
        listed = fault(home, "list")
        cleared = fault(home, "clear")

    assert injected.endswith(": fcm 503 for 120 s\n")
    assert (reply.status, reply.headers["retry-after"]) == (503, "30")
    assert {"service=fcm", "status=503", "met=1"} <= set(listed.split())
    assert cleared == "ended: 1\n"


def test_clears_one_fault_or_those_of_one_service(home: Path) -> None:
    with running(PushServices(home=home)):
        numbers = [fault(home, name, "hang").split()[1].rstrip(":") for name in ("fcm", "fcm", "apns", "wns")]

        fault(home, "clear", numbers[0])
        fault(home, "clear", "apns")

        left = [line.split()[1] for line in fault(home, "list").splitlines()]
    assert left == [f"number={numbers[1]}", f"number={numbers[3]}"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fcm", "explode"), "do is one of"),
        (("fcm",), "say what fcm is to do"),
        (("fcm", "goaway"), "goaway needs limit"),
    ],
)
def test_says_what_is_wrong_with_a_fault(home: Path, arguments: tuple[str, ...], words: str) -> None:
    with running(PushServices(home=home)), pytest.raises(CommandError, match=words):
        fault(home, *arguments)


def test_says_that_no_services_run(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"is push_services running\?"):
        fault(tmp_path, "list")


def test_keeps_its_credentials_and_its_ports_over_a_restart(tmp_path: Path) -> None:
    ports = free_ports(7)

    with push_services(tmp_path, "--ports", ",".join(map(str, ports))) as before:
        first = secrets_in(tmp_path)
    with push_services(tmp_path, "--ports", ",".join(map(str, ports))) as after:
        second = secrets_in(tmp_path)

    assert before == after
    assert before["fcm"]["url"] == f"https://localhost:{ports[0]}"
    assert first == second


def test_shows_its_private_files_to_its_owner_alone(tmp_path: Path) -> None:
    with running(PushServices(home=tmp_path)):
        modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in secrets_in(tmp_path)}

    assert set(modes.values()) == {0o600}


def secrets_in(home: Path) -> dict[str, bytes]:
    """The private files by name; there are five."""
    public = {"ca.pem", "localhost.pem", "addresses.json"}
    found = {path.name: path.read_bytes() for path in home.iterdir() if path.name not in public}
    assert len(found) == 5
    return found
