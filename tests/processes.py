"""Child processes that lead groups of their own, and the ports and URLs that they answer on; ended by process id.

For tests, injected faults and measurements alike, so nothing here knows pytest or Django.
"""

import ctypes
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
READY_S = 30.0
STOP_S = 40.0
PR_SET_PDEATHSIG = 1
LOWEST_PORT = 15_000
LOWEST_OF_CONNECTIONS = 32_000
_given_ports: set[int] = set()
_libc = ctypes.CDLL(None)


class ProcessError(Exception):
    """A child did not do what was waited for; the text ends with the tail of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that this process was not given before.

    Below those that the system gives to connections: such a one may be gone again before a server takes it.
    """
    while True:
        port = random.randrange(LOWEST_PORT, LOWEST_OF_CONNECTIONS)
        if port not in _given_ports and _is_free(port):
            _given_ports.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def url_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return int(response.status) < 400
    except (urllib.error.URLError, OSError):
        return False


class Process:
    """A child that leads a process group of its own; its output goes to `log`."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path, log_start: int) -> None:
        self.name = name
        self.pid = popen.pid
        self.log = log
        self._popen = popen
        self._log_start = log_start
        self._killed = False

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def output(self) -> str:
        """What this child has written so far, without what an earlier one left in the same file."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """To the leader alone, as a process manager would send it."""
        self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_S) -> int:
        """Ask the leader to end, wait, and return its exit status (negative: the signal that ended it)."""
        self._popen.send_signal(number)
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired as late:
            raise ProcessError(f"{self.name} still runs {timeout_s:g} s after {number.name}{self._tail()}") from late
        finally:
            self.kill()

    def wait(self, timeout_s: float = STOP_S) -> int:
        """The exit status of a child that ends by itself."""
        return self._popen.wait(timeout_s)

    def finish(self, timeout_s: float = STOP_S) -> str:
        """Wait for the end of a child that ends by itself and return its output; any status but 0 is an error."""
        with suppress(subprocess.TimeoutExpired):
            if self._popen.wait(timeout_s) == 0:
                return self.output()
        self.kill()
        raise ProcessError(f"{self.name} ended with {self._popen.returncode}{self._tail()}")

    def kill_leader(self) -> None:
        """SIGKILL to the leader alone: what it started lives on."""
        self._popen.kill()
        self._popen.wait()

    def kill(self) -> None:
        """SIGKILL to the leader, its group, and the descendants that left the group (PostgreSQL's do)."""
        if self._killed:
            return  # by now the id may be someone else's
        self._killed = True
        family = psutil.Process(self.pid).children(recursive=True) if self.alive else []
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._popen.wait()
        psutil.wait_procs(family, timeout=5)

    def wait_for(self, what: str, happened: Callable[[], bool], timeout_s: float = READY_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not happened():
            if not self.alive:
                raise ProcessError(f"{self.name} ended with {self._popen.returncode} before {what}{self._tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name}: no {what} within {timeout_s:g} s{self._tail()}")
            time.sleep(0.05)

    def wait_for_line(self, text: str, timeout_s: float = READY_S) -> None:
        self.wait_for(f"line with {text!r}", lambda: text in self.output(), timeout_s)

    def wait_for_port(self, port: int, timeout_s: float = READY_S) -> None:
        self.wait_for(f"answer on port {port}", lambda: port_answers(port), timeout_s)

    def wait_for_url(self, url: str, timeout_s: float = READY_S) -> None:
        self.wait_for(f"answer from {url}", lambda: url_answers(url), timeout_s)

    def _tail(self) -> str:
        return "".join(f"\n  | {line}" for line in self.output().splitlines()[-20:])


def spawn(
    name: str,
    command: Sequence[str | Path],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    user: str | None = None,
) -> Process:
    """Start a child with `env` on top of this process's environment; `user` drops root's privileges."""
    log = folder / f"{name}.log"
    with log.open("ab") as file:
        popen = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,
            preexec_fn=_end_with_parent,
            **as_user(user),
        )
        return Process(name, popen, log, log_start=file.tell())


def _end_with_parent() -> None:
    """In the child: be told to end when the parent is killed, so that a run that was cut off leaves nothing behind."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def as_user(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
