"""The two commands as a person runs them: processes of their own, ended by their process id."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT
from tests.simulator.services.clients import Https

START_S = 30
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
            status = process.wait(START_S)
    assert status == 0


def fault(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "fault", *arguments, "--ca-dir", str(home)]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=START_S)


def test_a_fault_is_injected_listed_and_cleared(tmp_path: Path) -> None:
    with push_services(tmp_path) as addresses:
        injected = fault(tmp_path, "fcm", "503", "--retry-after", "30", "--share", "1.0", "--for", "120")
        with Https(addresses["fcm"]["url"], Path(addresses["fcm"]["ca_file"])) as client:
            reply = client.post(f"/v1/projects/{addresses['fcm']['project_id']}/messages:send")
        listed = fault(tmp_path, "list")
        cleared = fault(tmp_path, "clear")

    assert injected.stdout == "fault 1: fcm 503 for 120 s\n"
    assert (reply.status, reply.headers["retry-after"]) == (503, "30")
    assert "service=fcm" in listed.stdout
    assert "status=503" in listed.stdout
    assert "met=1" in listed.stdout
    assert cleared.stdout == "ended: 1\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fcm", "explode"), "do is one of"),
        (("fcm",), "say what fcm is to do"),
        (("fcm", "goaway"), "goaway needs limit"),
    ],
)
def test_says_what_is_wrong_with_a_fault(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    with push_services(tmp_path):
        refused = fault(tmp_path, *arguments)

    assert refused.returncode == 1
    assert words in refused.stderr


def test_says_that_no_services_run(tmp_path: Path) -> None:
    refused = fault(tmp_path, "list")

    assert refused.returncode == 1
    assert "is push_services running?" in refused.stderr


def test_keeps_its_credentials_over_a_restart(tmp_path: Path) -> None:
    def keys(addresses: dict[str, Any]) -> list[str]:
        account = json.loads(Path(addresses["fcm"]["service_account_file"]).read_text())
        return [account["private_key"], Path(addresses["apns"]["key_file"]).read_text()]

    with push_services(tmp_path) as addresses:
        before, ca = keys(addresses), Path(addresses["fcm"]["ca_file"]).read_bytes()
    with push_services(tmp_path) as addresses:
        after = keys(addresses)

    assert before == after
    assert ca == (tmp_path / "ca.pem").read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir() if path.suffix in (".p8", ".key"))


def test_takes_the_ports_that_it_is_given(tmp_path: Path) -> None:
    with push_services(tmp_path) as free:
        base = int(free["fcm"]["url"].rpartition(":")[2])

    with push_services(tmp_path, "--port-base", str(base)) as addresses:
        ports = [addresses[name]["url"].rpartition(":")[2] for name in ("fcm", "apns", "wns", "web_push")]

    assert [int(port) for port in ports] == list(range(base, base + 4))
