"""What a host program tells an agent, and what the agent tells it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homepot_agent.commands import OnCommand, Report
from homepot_agent.enrolment import Introduction
from homepot_agent.link import Broker
from homepot_agent.ways import TokenSource
from homepot_agent.wire import Command, Message


def refuse(command: Command) -> Report:
    return Report("failed", {"error": f"{command.command_type} is not done here: the program has no on_command"})


@dataclass(frozen=True, slots=True)
class State:
    """How the agent is doing; `on_state` is called with each change."""

    device_id: str = ""
    """Empty until the device has its key."""
    online: bool = False
    way: str = "inbox"
    """How messages come: `fcm`, `apns`, `wns`, `mqtt`; `inbox`: it looks by itself."""
    woken: bool = False
    """Whether that way is open now."""
    disk_full: bool = False
    problem: str = ""
    """What is in the way, and who can put it right, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    server: str
    said: Introduction
    folder: Path
    broker: Broker | None = None
    ca_file: str = ""
    sources: Sequence[TokenSource] = ()
    heartbeat_s: float = 20.0
    """Above 15: what comes sooner the server does not write down."""
    poll_s: float = 15.0
    """Between two looks into the inbox and for commands, where nothing wakes the device."""
    glance_s: float = 120.0
    """The same, where something does."""
    missed_after_s: float = 60.0
    """A message that waits in the inbox for so long was not brought by its push service."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the host program does. `on_push` and `on_state` come from one thread, `on_command` from another."""

    on_push: Callable[[Message, bool], None]
    """A new message; and whether it may have come before, because the agent was killed in the middle of this call."""
    on_command: OnCommand = refuse
    on_state: Callable[[State], None] = field(default=lambda _state: None)
