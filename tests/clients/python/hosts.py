"""Agents for tests: one in this process with a program that takes notes, one in a process of its own."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from homepot_agent import Agent, Broker, Command, Hooks, Introduction, Message, Options, Report, State, TokenSource
from tests.clients.python.world import SITE, World
from tests.journey.api import wait_until
from tests.processes import ROOT, Process, spawn

FAILS = "a title that the program fails on"
AGENT_PATH = str(ROOT / "clients" / "python")


class Host:
    """A program with an agent in it, which notes what it is told and when."""

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        server: str = "",
        mqtt: str | None = None,
        sources: Sequence[TokenSource] = (),
        name: str = "",
        glance_s: float = 120.0,
        missed_after_s: float = 60.0,
    ) -> None:
        mqtt = world.broker.url if mqtt is None else mqtt
        self.options = Options(
            server=server or world.production.url,
            said=Introduction(
                site_id=SITE, bootstrap_key=world.bootstrap_key, name=name, os_details="Debian", host=folder.name
            ),
            folder=folder,
            broker=Broker.from_url(mqtt) if mqtt else None,
            sources=sources,
            heartbeat_s=1.0,
            poll_s=0.5,
            glance_s=glance_s,
            missed_after_s=missed_after_s,
        )
        self.pushes: list[tuple[Message, float]] = []
        """What came, and the true time at which it did."""
        self.commands: list[Command] = []
        self.states: list[State] = []
        self.agent = Agent(self.options, Hooks(self._on_push, self._on_command, self.states.append))

    def __enter__(self) -> Self:
        self.agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.stop()

    @property
    def device_id(self) -> str:
        return self.agent.state.device_id

    @property
    def titles(self) -> list[str]:
        return [message.title for message, _ in self.pushes]

    def wait_until_woken(self, way: str, timeout_s: float = 20.0) -> Self:
        """Until messages come by this way."""
        wait_until(
            lambda: self.agent.state.way == way and self.agent.state.woken,
            f"way {way}",
            timeout_s,
            lambda: self.agent.state,
            pause_s=0.02,
        )
        return self

    def wait_until_pushed(self, count: int, timeout_s: float = 20.0) -> None:
        wait_until(lambda: len(self.pushes) >= count, f"{count} pushes", timeout_s, lambda: self.titles, pause_s=0.02)

    def _on_push(self, message: Message, _repeated: bool) -> None:
        self.pushes.append((message, time.time()))
        if message.title == FAILS:
            raise RuntimeError("this program cannot show that")

    def _on_command(self, command: Command) -> Report:
        self.commands.append(command)
        return Report(result={"did": command.command_type})


class AgentProcess:
    """`homepot-agent run`, and what it printed in all its lives."""

    def __init__(
        self, world: World, folder: Path, *, log_folder: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self._log_folder = log_folder or folder.parent
        options = {"--server": world.production.url, "--site": SITE, "--state": folder, "--heartbeat": 1}
        options |= {"--poll": 0.5, "--telemetry-every": 0.1, "--mqtt": world.broker.url}
        self._command: list[str | Path] = [sys.executable, "-m", "homepot_agent", "run"]
        self._command += [str(part) for option in options.items() for part in option]
        paths = ":".join(filter(None, [(env or {}).get("PYTHONPATH"), AGENT_PATH]))
        self._env = {**(env or {}), "PYTHONPATH": paths, "HOMEPOT_BOOTSTRAP_KEY": world.bootstrap_key}
        self.process = self.start()

    def start(self) -> Process:
        self.process = spawn(self.folder.name, self._command, folder=self._log_folder, env=self._env)
        return self.process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """`push`, `state` or `command`; of all lives of this agent."""
        whole = self.process.log.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        said = [json.loads(line) for line in whole if line.startswith("{")]
        return [line[kind] for line in said if kind in line]

    @property
    def state(self) -> dict[str, Any]:
        return (self.lines("state") or [{}])[-1]

    @property
    def device_id(self) -> str:
        return str(self.state.get("device_id", ""))

    @property
    def titles(self) -> list[str]:
        return [push["title"] for push in self.lines("push")]

    def wait_until_woken(self) -> Self:
        wait_until(lambda: bool(self.state.get("woken")), "open way", 20, self.process.output, pause_s=0.05)
        return self
