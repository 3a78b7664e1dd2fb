"""The whole agent: a device's side of the contract, on threads of its own, for a program that hosts it."""

import json
import logging
import random
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from homepot_agent import wire
from homepot_agent.backoff import Backoff
from homepot_agent.clock import ServerClock
from homepot_agent.commands import Commands
from homepot_agent.courier import Courier
from homepot_agent.enrolment import Enrolment
from homepot_agent.heartbeat import Heartbeat
from homepot_agent.inbox import Inbox
from homepot_agent.journal import Journal
from homepot_agent.link import Link
from homepot_agent.loops import NOTHING_TO_DO_S, Loop
from homepot_agent.options import Hooks, Options, State
from homepot_agent.private_files import FolderLock, private_folder, write_private
from homepot_agent.server import Answer, Server
from homepot_agent.store import Arrival, Store
from homepot_agent.telemetry import Kind, Telemetry
from homepot_agent.ways import Ways
from homepot_agent.wire import Ack, AckStatus, Message

log = logging.getLogger(__name__)

STOP_S = 5.0
STATUS = "status.json"


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
        courier = Courier(self._server, self._store, self._publish)
        inbox = Inbox(self._server, self._fetched, self._pause_s)
        heartbeat = Heartbeat(self._server, self._store, self._clock, options, self._beaten)
        commands = Commands(self._server, self._store, self._clock, self._hooks.on_command, self._pause_s)
        self._enrolling = Loop("enrolment", self._enrolment.step, self._enrolment.backoff)
        self._hosting = Loop("host", self._host)
        self._acking = Loop("acks", courier.step, courier.backoff)
        self._fetching = Loop("inbox", inbox.step, inbox.backoff)
        self._obeying = Loop("commands", commands.step, commands.backoff)
        self._measuring = Loop("telemetry", self._telemetry.step, self._telemetry.backoff)
        self._beating = Loop("heartbeat", heartbeat.step, heartbeat.backoff)
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
        elif arrival is Arrival.NEW and message.asks_for_address_of:
            self._store.handled(message.message_id)
            self._register_again(message.asks_for_address_of)
        elif arrival is Arrival.NEW:
            self._hosting.wake()
        self._acking.wake()
        return arrival

    def _register_again(self, provider: str) -> None:
        if self._ways is not None:
            self._ways.forget(provider)
            self._choosing.hurry()

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

    def _beaten(self, answer: Answer) -> None:
        if answer.status in (401, 403):
            self._enrolling.wake()  # it finds out what is wrong, and says so
        for loop in (self._acking, self._hosting):  # what a full disk held back, and whether it still does
            loop.wake()

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
