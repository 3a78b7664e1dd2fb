"""Commands: fetched, written down, taken, done once, reported. A restart goes on where it was.

One that was being done when the agent was killed is not done again: it is reported as failed, `interrupted`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from homepot_agent.backoff import Backoff
from homepot_agent.clock import ServerClock
from homepot_agent.memory import Order
from homepot_agent.server import Server
from homepot_agent.store import Store
from homepot_agent.wire import Command, iso, read_commands

log = logging.getLogger(__name__)

NO_DISK_S = 10.0
REFUSED_S = 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """How a command went. `afterwards` is called once the server has the report: to restart, to shut down."""

    status: Literal["completed", "failed"] = "completed"
    result: Mapping[str, Any] = field(default_factory=dict)
    afterwards: Callable[[], None] | None = None


OnCommand = Callable[[Command], Report]


class Commands:
    def __init__(
        self, server: Server, store: Store, clock: ServerClock, on_command: OnCommand, pause_s: Callable[[], float]
    ) -> None:
        self._server = server
        self._store = store
        self._clock = clock
        self._on_command = on_command
        self._pause_s = pause_s
        self.backoff = Backoff()
        self._afterwards: dict[str, Callable[[], None]] = {}
        self._done_here: set[str] = set()

    def step(self) -> float:
        """Finish what was begun, then see what waits."""
        while (order := self._store.next_order()) is not None:
            wait_s = self._advance(order)
            if wait_s:
                return wait_s
        answer = self._server.call("GET", "/devices/pending")
        if answer.status != 200:
            return self.backoff.failed(answer.retry_after_s) if answer.later else REFUSED_S
        self.backoff.reset()
        found = [self._store.order(command) for command in read_commands(answer.data)]
        return 0.0 if any(found) else self._pause_s()

    def _advance(self, order: Order) -> float:
        """Bring one command a step further; how long to wait before the next one, 0 where it went well."""
        command_id = order.command.command_id
        if order.report is not None:
            return self._report(command_id, order.report)
        if not order.started:
            return self._take(order)
        if command_id not in self._done_here:
            self._over(command_id, Report("failed", {"error": "interrupted"}))
        return 0.0

    def _take(self, order: Order) -> float:
        """Say that the device has it, and do it unless its time is over."""
        command = order.command
        key = self._server.key
        answer = self._server.call("POST", f"/devices/{key.device_id if key else ''}/commands/{command.command_id}/ack")
        if answer.later:
            return self.backoff.failed(answer.retry_after_s)
        self.backoff.reset()
        if not answer.ok:
            log.warning("command %s is not to be done: %s", command.command_id, answer.text)
            self._store.ended(command.command_id)
            return 0.0
        if not self._store.started(command.command_id):
            return NO_DISK_S
        self._over(command.command_id, self._do(command))
        return 0.0

    def _do(self, command: Command) -> Report:
        try:
            return self._on_command(command)
        except Exception as error:
            log.exception("on_command failed for %s %s", command.command_type, command.command_id)
            return Report("failed", {"error": f"{type(error).__name__}: {error}"[:500]})

    def _over(self, command_id: str, report: Report) -> None:
        self._done_here.add(command_id)
        if report.afterwards is not None:
            self._afterwards[command_id] = report.afterwards
        said = {"status": report.status, "result": dict(report.result), "executed_at": iso(self._clock.now_s())}
        self._store.over(command_id, said)

    def _report(self, command_id: str, report: Mapping[str, Any]) -> float:
        answer = self._server.call("PUT", f"/devices/{command_id}/status", dict(report))
        if answer.later:
            return self.backoff.failed(answer.retry_after_s)
        self.backoff.reset()
        if not answer.ok:
            log.warning("the report of command %s was refused: %s", command_id, answer.text)
        self._store.ended(command_id)
        self._done_here.discard(command_id)
        afterwards = self._afterwards.pop(command_id, None)
        if afterwards is not None:
            afterwards()
        return 0.0
