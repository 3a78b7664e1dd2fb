"""`homepot-agent`: run a device, ask how it is doing, give it a key that a technician issued."""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from homepot_agent import system
from homepot_agent.agent import STATUS, Agent
from homepot_agent.commands import Report
from homepot_agent.enrolment import Identity, Introduction, WrongFolder, keep_identity, read_identity
from homepot_agent.link import Broker
from homepot_agent.options import Hooks, Options, State
from homepot_agent.private_files import FolderLock, InUse, private_folder
from homepot_agent.server import unsafe
from homepot_agent.wire import Command, Message

OK, FAILED, MISUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 well, 1 not (the reason is on stderr), 2 wrong arguments."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if asked.verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("urllib3").setLevel(logging.INFO)
    try:
        return {"run": run, "status": status, "adopt": adopt}[asked.task](asked)
    except InUse as busy:
        print(f"another agent runs with {busy}: stop it, or give another --state", file=sys.stderr)
    except WrongFolder as wrong:
        print(wrong, file=sys.stderr)
    except OSError as error:
        print(
            f"{asked.state}: {error.strerror or error}: --state must be a folder that this user may write",
            file=sys.stderr,
        )
    return FAILED


def run(asked: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C. Each push and each state is a line of JSON on stdout."""
    if wrong := (not asked.allow_http and unsafe(asked.server)):
        print(wrong, file=sys.stderr)
        return MISUSED
    try:
        options = _options(asked)
    except ValueError as error:
        print(f"--mqtt: {error}", file=sys.stderr)
        return MISUSED
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with Agent(options, Hooks(_print_push, _obey, _print_state)) as agent:
        while not stopped.wait(asked.telemetry_every or None):
            agent.measured(**system.numbers(options.folder))
    return OK


def status(asked: argparse.Namespace) -> int:
    """What the agent last said of itself; 0 where it runs and is online."""
    identity = read_identity(asked.state)
    if identity is None:
        print(f"no device lives in {asked.state}: start one with homepot-agent run", file=sys.stderr)
        return FAILED
    runs = FolderLock(asked.state).held()
    file = asked.state / STATUS
    told = json.loads(file.read_bytes()) if file.exists() else {}
    known = {"server": identity.server, "site_id": identity.site_id, "device_id": identity.device_id}
    print(json.dumps({"runs": runs, "name": identity.name, **told, **known}, indent=1))
    return OK if runs and told.get("online") and not told.get("problem") else FAILED


def adopt(asked: argparse.Namespace) -> int:
    """Take over a key that a technician issued; it comes from HOMEPOT_API_KEY or stdin, where `ps` does not show it."""
    key = (os.environ.get("HOMEPOT_API_KEY") or sys.stdin.readline()).strip()
    if not key:
        print("no key: set HOMEPOT_API_KEY, or write it to standard input", file=sys.stderr)
        return MISUSED
    with FolderLock(private_folder(asked.state)):
        name = asked.name or asked.device_id
        keep_identity(asked.state, Identity(asked.server.rstrip("/"), asked.site, asked.device_id, key, name))
    print(f"{asked.state} is {asked.device_id} now")
    return OK


def _options(asked: argparse.Namespace) -> Options:
    return Options(
        server=asked.server.rstrip("/"),
        said=Introduction(
            site_id=asked.site,
            bootstrap_key=asked.bootstrap_key,
            name=asked.name,
            device_type=asked.device_type,
            os_details=system.os_details(),
            firmware_version=asked.firmware,
            host=system.host(),
        ),
        folder=asked.state,
        broker=Broker.from_url(asked.mqtt, asked.ca_file) if asked.mqtt else None,
        ca_file=asked.ca_file,
        heartbeat_s=asked.heartbeat,
        poll_s=asked.poll,
    )


def _print_push(message: Message, repeated: bool) -> None:
    shown = {key: value for key, value in message.content.items() if key not in ("ack_token", "ack_url")}
    _line({"push": {**shown, "repeated": repeated}})


def _print_state(state: State) -> None:
    _line({"state": asdict(state)})


def _obey(command: Command) -> Report:
    """What every device can do; the rest is for programs that host the agent."""
    _line({"command": {"command_id": command.command_id, "command_type": command.command_type}})
    if command.command_type == "ping":
        return Report(result={"pong": True})
    if command.command_type in ("health_check", "status_request"):
        return Report(result={"os": system.os_details(), **system.numbers(Path.cwd())})
    return Report("failed", {"error": f"homepot-agent run does not do {command.command_type}"})


def _line(said: dict[str, object]) -> None:
    print(json.dumps(said, ensure_ascii=False), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("homepot-agent", description="The device's side of HOMEPOT Delivery.")
    tasks = parser.add_subparsers(dest="task", required=True)
    running = tasks.add_parser("run", help="be a device until stopped; pushes are lines of JSON on stdout")
    asking = tasks.add_parser("status", help="how the agent of this folder is doing; exit status 0: online")
    adopting = tasks.add_parser("adopt", help="go on with a key that a technician issued (HOMEPOT_API_KEY, or stdin)")
    for task in (running, asking, adopting):
        task.add_argument("--state", type=Path, required=True, metavar="DIR", help="where the device keeps what it is")
        task.add_argument("--verbose", action="store_true", help="say also what went wrong for the moment")
    for task in (running, adopting):
        task.add_argument("--server", required=True, metavar="URL", help="such as https://push.example.com")
        task.add_argument("--site", required=True, metavar="SITE", help="such as site-001")
        task.add_argument(
            "--name", default="", help="how people call the device; default: the host's name and 4 digits"
        )
    adopting.add_argument("--device-id", required=True)
    running.add_argument(
        "--bootstrap-key",
        default=os.environ.get("HOMEPOT_BOOTSTRAP_KEY", ""),
        metavar="KEY",
        help="the site's, needed once; better in HOMEPOT_BOOTSTRAP_KEY, where `ps` does not show it",
    )
    running.add_argument(
        "--mqtt",
        default=os.environ.get("HOMEPOT_MQTT_URL", ""),
        metavar="URL",
        help="mqtt://user:password@host:1883 or mqtts://; default HOMEPOT_MQTT_URL; none: the device polls",
    )
    running.add_argument(
        "--ca-file", default="", metavar="FILE", help="authorities that signed the server's certificate"
    )
    running.add_argument("--device-type", default="pos_terminal", metavar="TYPE", help="default pos_terminal")
    running.add_argument("--firmware", default="", metavar="VERSION")
    running.add_argument("--heartbeat", type=float, default=20.0, metavar="S", help="seconds between; default 20")
    running.add_argument("--poll", type=float, default=15.0, metavar="S", help="where nothing wakes it; default 15")
    running.add_argument(
        "--telemetry-every", type=float, default=30.0, metavar="S", help="seconds between measurements; 0: none"
    )
    running.add_argument("--allow-http", action="store_true", help="let the key travel readable (tests, closed nets)")
    return parser
