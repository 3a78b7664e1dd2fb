"""The whole agent: a device's side of the contract, on threads of its own, for a program that hosts it."""

import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from homepot_agent import wire
from homepot_agent.backoff import Backoff
from homepot_agent.clock import ServerClock
from homepot_agent.commands import Commands, OnCommand, Report
from homepot_agent.courier import Courier
from homepot_agent.enrolment import Enrolment, Introduction
from homepot_agent.inbox import Inbox
from homepot_agent.journal import Journal
from homepot_agent.link import Broker, Link
from homepot_agent.loops import NOTHING_TO_DO_S, Loop
from homepot_agent.private_files import FolderLock, private_folder, write_private
from homepot_agent.server import Answer, Server
from homepot_agent.store import Arrival, Store
from homepot_agent.telemetry import Kind, Telemetry
from homepot_agent.ways import TokenSource, Ways
from homepot_agent.wire import Ack, AckStatus, Command, Message

log = logging.getLogger(__name__)

STOP_S = 5.0
CLOCK_WORTH_KEEPING_S = 2.0
STATUS = "status.json"


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


class Agent:
    """As a context manager, or with `start` and `stop`. `InUse` where another agent has the folder."""

    def __init__(self, options: Options, hooks: Hooks) -> None:
        self._options = options
        self._hooks = hooks
        self._folder = private_folder(options.folder)
        self._lock = FolderLock(self._folder)
        self._state = State()

    def __enter__(self) -> "Agent":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._lock.__enter__()
        try:
            self._build()
        except BaseException:
            self._lock.__exit__()
            raise
        for loop in (self._enrolling, self._hosting):
            loop.start()

    def stop(self) -> None:
        """What is still owed stays on disk for the next start."""
        self._enrolling.stop()
        self._enrolling.join(STOP_S)  # it starts the others
        for loop in self._loops:
            loop.stop()
        if self._link is not None:
            self._link.stop()
        for loop in self._loops:
            loop.join(STOP_S)
        self._telemetry.seal()
        self._store.close()
        self._server.close()
        self._lock.__exit__()

    # What the host program may say

    def deliver(self, payload: object, provider: str) -> bool:
        """Hand over what the platform's push service brought; False where it is no message of ours."""
        message = wire.read_message(payload)
        if message is None:
            return False
        if self._ways is not None and self._ways.arrived(provider):
            self._choosing.hurry()
        self._take(message)
        return True

    def tell(self, message: Message, status: AckStatus, error_code: str = "", error_message: str = "") -> None:
        """A further word about a message: `opened`, `clicked`, or `failed` with why."""
        ack = Ack(message.message_id, self._clock.now_s(), message.ack_token, status, error_code, error_message)
        self._store.say(ack)
        self._acking.wake()

    def measured(self, **numbers: float) -> None:
        """One measurement: `cpu_usage`, `memory_usage`, `disk_usage` in per cent, and what else the contract knows."""
        identity = self._enrolment.identity
        if identity is not None:
            own = {"device_id": identity.device_id, "timestamp": wire.iso(self._clock.now_s())}
            self._add("metrics", {**numbers, **own})

    def note(self, kind: str, text: str, meta: Mapping[str, Any] | None = None) -> None:
        """One line for the server's telemetry."""
        now = wire.iso(self._clock.now_s())
        self._add("lines", {"type": kind, "message": text, "meta": dict(meta or {}), "timestamp": now})

    def addresses_changed(self) -> None:
        """Ask the token sources now: a platform has said that its address is another one."""
        self._choosing.hurry()

    @property
    def state(self) -> State:
        return self._state

    @property
    def waiting(self) -> dict[str, int]:
        """How much is not at its end: acks, messages, commands, batches of telemetry."""
        return {"telemetry_batches": self._telemetry.waiting_batches, **self._store.counts()}

    # Putting it together

    def _build(self) -> None:
        options = self._options
        self._clock = ServerClock()
        self._server = Server(options.server, self._clock, ca_file=options.ca_file, on_change=self._reached)
        self._telemetry = Telemetry(self._server, self._folder / "telemetry")
        self._store = Store(Journal(self._folder / "journal", self._telemetry.drop_oldest))
        self._clock.start_from(self._store.behind_s)
        self._enrolment = Enrolment(self._server, self._folder, options.said, self._let_in)
        self._link: Link | None = None
        self._ways: Ways | None = None
        self._beat_backoff = Backoff(cap_s=10.0)
        self._last_heard = ""
        courier = Courier(self._server, self._store, self._publish)
        inbox = Inbox(self._server, self._fetched, self._pause_s)
        commands = Commands(self._server, self._store, self._clock, self._hooks.on_command, self._pause_s)
        self._enrolling = Loop("enrolment", self._enrolment.step, self._enrolment.backoff)
        self._hosting = Loop("host", self._host)
        self._acking = Loop("acks", courier.step, courier.backoff)
        self._fetching = Loop("inbox", inbox.step, inbox.backoff)
        self._obeying = Loop("commands", commands.step, commands.backoff)
        self._measuring = Loop("telemetry", self._telemetry.step, self._telemetry.backoff)
        self._beating = Loop("heartbeat", self._beat, self._beat_backoff)
        self._choosing = Loop("ways", self._choose, Backoff())
        self._loops = [self._enrolling, self._hosting]

    def _let_in(self) -> None:
        """The device has its key: the rest may begin. Again after each time that it said what it is."""
        if self._ways is None:
            options, key = self._options, self._server.key
            if options.broker is not None and key is not None:
                self._link = Link(options.broker, key.device_id, self._on_topic, self._on_link)
            self._ways = Ways(self._server, options.sources, self._link, self._look_around)
            self._choosing = Loop("ways", self._choose, self._ways.backoff)
            rest = [self._acking, self._fetching, self._obeying, self._measuring, self._beating, self._choosing]
            self._loops += rest
            for loop in rest:
                loop.start()
        self._hosting.wake()

    # Messages

    def _on_topic(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/acks/done"):
            self._store.confirmed_ids(wire.read_done(payload))
        elif topic.endswith("/commands"):
            self._obeying.wake()
        elif message := wire.read_message(payload):
            self._take(message)

    def _fetched(self, message: Message, provider: str, sent_at: str) -> bool:
        sent_at_s = wire.read_time_s(sent_at)
        new = self._take(message) is Arrival.NEW
        overdue = sent_at_s is not None and self._clock.now_s() - sent_at_s > self._options.missed_after_s
        if new and overdue and self._ways is not None and self._ways.missed(provider):
            log.warning("%s brings nothing any more: messages were found in the inbox instead", provider)
            self._choosing.hurry()
        return new

    def _take(self, message: Message) -> Arrival:
        arrival = self._store.receive(message, self._clock.now_s())
        if arrival is Arrival.NEW and message.rings_for_command:
            self._store.handled(message.message_id)
            self._obeying.wake()
        elif arrival is Arrival.NEW:
            self._hosting.wake()
        self._acking.wake()
        return arrival

    def _host(self) -> float:
        """Tell the program what is new: how the agent is doing, then each message."""
        self._tell_state()
        while (waiting := self._store.next_message()) is not None:
            message, repeated = waiting
            try:
                self._hooks.on_push(message, repeated)
            except Exception:
                log.exception("on_push failed for message %s", message.message_id)
            self._store.handled(message.message_id)
            self._acking.wake()
        return NOTHING_TO_DO_S

    # Being there

    def _beat(self) -> float:
        self._store.catch_up()
        self._acking.wake()
        identity = self._enrolment.identity
        assert identity is not None, "beats once it has its key"
        asked_at = self._clock.steady_s()
        said = wire.heartbeat(identity.device_id, identity.site_id, self._clock.now_s())
        answer = self._server.call("POST", "/agent/heartbeat", said)
        if answer.later:
            return self._beat_backoff.failed(answer.retry_after_s)
        self._beat_backoff.reset()
        if answer.ok:
            self._heard(answer, asked_at)
        elif answer.status in (401, 403):
            self._enrolling.wake()  # it finds out what is wrong, and says so
        self._hosting.wake()
        return self._options.heartbeat_s * random.uniform(0.9, 1.1)

    def _heard(self, answer: Answer, asked_at: float) -> None:
        """The heartbeat that the server wrote down is the server's time of this moment."""
        data = answer.data.get("data") if isinstance(answer.data, dict) else None
        heard = data.get("last_heartbeat_at") if isinstance(data, dict) else None
        time_s = wire.read_time_s(heard)
        if time_s is not None and heard != self._last_heard:
            self._last_heard = str(heard)
            self._clock.server_said(time_s, asked_at, self._clock.steady_s())
        if abs(self._clock.behind_s - self._store.behind_s) > CLOCK_WORTH_KEEPING_S:
            self._store.remember_behind(self._clock.behind_s)

    def _reached(self, reached: bool) -> None:
        """The network is back, or gone. What waited for it goes on at once."""
        if reached:
            for loop in self._loops:
                loop.hurry()
        self._hosting.wake()

    def _on_link(self, is_open: bool) -> None:
        if is_open:
            self._look_around()
        self._hosting.wake()

    def _look_around(self) -> None:
        """See what nothing woke the device for."""
        for loop in (self._fetching, self._obeying, self._hosting):
            loop.wake()

    def _publish(self, ack: Ack) -> bool:
        return self._link is not None and self._link.publish(ack)

    def _pause_s(self) -> float:
        woken = self._ways is not None and self._ways.wakes
        return (self._options.glance_s if woken else self._options.poll_s) * random.uniform(0.9, 1.1)

    def _choose(self) -> float:
        assert self._ways is not None, "chooses once it has its key"
        return self._ways.step()

    def _add(self, kind: Kind, item: dict[str, Any]) -> None:
        if self._telemetry.add(kind, item):
            self._measuring.wake()

    # Telling about it

    def _tell_state(self) -> None:
        identity = self._enrolment.identity
        state = State(
            device_id=identity.device_id if identity else "",
            online=self._server.reachable,
            way=self._ways.way if self._ways else "inbox",
            woken=self._ways is not None and self._ways.wakes,
            disk_full=self._store.disk_full,
            problem=self._problem(),
        )
        changed, self._state = state != self._state, state
        if changed and state.disk_full:
            log.warning("the disk is full: the agent goes on in memory; make room in %s", self._folder)
        self._write_status(state)
        if changed:
            try:
                self._hooks.on_state(state)
            except Exception:
                log.exception("on_state failed")

    def _problem(self) -> str:
        """The first of what is wrong: without the one the other does not matter."""
        by_mqtt = self._link is not None and self._ways is not None and self._ways.way == "mqtt"
        return self._enrolment.problem or self._server.problem or (self._link.problem if by_mqtt and self._link else "")

    def _write_status(self, state: State) -> None:
        """For `homepot-agent status`; without it nothing is missing."""
        told_at = wire.iso(self._clock.now_s())
        status = {"told_at": told_at, **asdict(state), **self.waiting, "clock_behind_s": round(self._clock.behind_s, 3)}
        try:
            write_private(self._folder / STATUS, json.dumps(status, indent=1).encode())
        except OSError as error:
            log.debug("%s: %s", STATUS, error)
