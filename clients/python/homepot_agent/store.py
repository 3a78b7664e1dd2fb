"""The device's memory with its journal: what is answered here survives a kill, unless the disk is full.

While the disk takes nothing the agent goes on in memory. A message is then acked only once the host program is done
with it: should the agent be killed before, the message is still in the server's inbox and comes again.
"""

import threading
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any

from homepot_agent.journal import Event, Journal
from homepot_agent.memory import Memory, Order, got, ordered, owe
from homepot_agent.wire import Ack, Command, Message

MOST_UNHANDLED = 1_000


class Arrival(Enum):
    NEW = "new"
    DUPLICATE = "duplicate"
    LATER = "later"
    """The host program is far behind: left to the inbox, not acked."""


class Store:
    """For all threads of an agent."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._memory = Memory()
        self._lock = threading.RLock()
        self._held: set[str] = set()
        for event in journal.open():
            self._memory.apply(event)
        self._from_before = set(self._memory.unhandled)

    # Messages

    def receive(self, message: Message, at_s: float) -> Arrival:
        """Take a message in; its ack is owed from now on. A duplicate is acked again: the first ack may be lost."""
        with self._lock:
            seen_at_s = self._memory.seen.get(message.message_id)
            if seen_at_s is not None:
                self._write(owe(Ack(message.message_id, seen_at_s, message.ack_token)), sync=False)
                return Arrival.DUPLICATE
            if len(self._memory.unhandled) >= MOST_UNHANDLED:
                return Arrival.LATER
            if not self._write(got(message, at_s), sync=True):
                self._held.add(message.message_id)
            return Arrival.NEW

    def next_message(self) -> tuple[Message, bool] | None:
        """The oldest that the host program is not done with, and whether it may have had it before a restart."""
        with self._lock:
            for message_id, message in self._memory.unhandled.items():
                return message, message_id in self._from_before
            return None

    def handled(self, message_id: str) -> None:
        with self._lock:
            self._write({"e": "handled", "id": message_id}, sync=False)
            self._held.discard(message_id)
            self._from_before.discard(message_id)

    # Acks

    def say(self, ack: Ack) -> None:
        """Owe one more word about a message: opened, clicked, failed."""
        with self._lock:
            self._write(owe(ack), sync=True)

    def owed(self, most: int) -> list[Ack]:
        """The oldest acks that may go now."""
        with self._lock:
            ready = (ack for ack in self._memory.owed.values() if ack.message_id not in self._held)
            return list(islice(ready, most))

    def confirmed(self, acks: Sequence[Ack]) -> None:
        """The server has committed them, or will never take them."""
        with self._lock:
            owed = [ack for ack in acks if ack.key in self._memory.owed]
            if owed:
                self._write(*({"e": "acked", "id": ack.message_id, "status": ack.status} for ack in owed), sync=False)

    def confirmed_ids(self, message_ids: Sequence[str]) -> None:
        """The same, over MQTT, which names the messages alone: all that is said of them is committed."""
        with self._lock:
            named = set(message_ids)
            self.confirmed([ack for ack in self._memory.owed.values() if ack.message_id in named])

    # Commands

    def order(self, command: Command) -> bool:
        """Take a command in; False for one that was taken before."""
        with self._lock:
            memory = self._memory
            if command.command_id in memory.orders or command.command_id in memory.ended_commands:
                return False
            self._write(ordered(command), sync=True)
            return True

    def next_order(self) -> Order | None:
        with self._lock:
            return next(iter(self._memory.orders.values()), None)

    def started(self, command_id: str) -> bool:
        """Whether this is on disk: what is not, must not be done, or a restart would do it twice."""
        with self._lock:
            return self._write({"e": "started", "id": command_id}, sync=True)

    def over(self, command_id: str, report: Mapping[str, Any]) -> None:
        with self._lock:
            self._write({"e": "over", "id": command_id, "report": dict(report)}, sync=True)

    def ended(self, command_id: str) -> None:
        with self._lock:
            self._write({"e": "ended", "id": command_id}, sync=False)

    # All of it

    @property
    def behind_s(self) -> float:
        return self._memory.behind_s

    def remember_behind(self, behind_s: float) -> None:
        with self._lock:
            self._write({"e": "behind", "s": behind_s}, sync=False)

    @property
    def disk_full(self) -> bool:
        return self._journal.behind

    def catch_up(self) -> None:
        """Write what a full disk has refused, if it takes it now; shorten a long journal."""
        with self._lock:
            if self._journal.behind and self._journal.append(sync=True):
                self._held.clear()
            if self._journal.wants_rewrite() and self._journal.rewrite(self._memory.snapshot()):
                self._held.clear()

    def counts(self) -> dict[str, int]:
        with self._lock:
            return {
                "acks_owed": len(self._memory.owed),
                "messages_unhandled": len(self._memory.unhandled),
                "commands_open": len(self._memory.orders),
            }

    def close(self) -> None:
        with self._lock:
            self._journal.close()

    def _write(self, *events: Event, sync: bool) -> bool:
        """Memory follows whether or not the disk does."""
        written = self._journal.append(*events, sync=sync)
        for event in events:
            self._memory.apply(event)
        return written
