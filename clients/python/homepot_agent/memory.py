"""What a device has, owes and is doing, as plain data that events change. Pure: the same events give the same memory.

A sans-IO core: store.py writes the events down before they count, and nothing here knows of files, sockets or threads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from homepot_agent.journal import Event
from homepot_agent.wire import Ack, Command, Message

SAID = ("ack_token", "status", "error_code", "error_message")
REMEMBERED_MESSAGES = 5_000
REMEMBERED_COMMANDS = 500
MOST_ACKS = 10_000
"""Past that the oldest goes: its message waits in the inbox, comes again, and is acked then."""


@dataclass(slots=True)
class Order:
    """A command on its way through the device."""

    command: Command
    started: bool = False
    report: Mapping[str, Any] | None = None
    """`status`, `result`, `executed_at`, once it is over."""


@dataclass(slots=True)
class Memory:
    seen: dict[str, float] = field(default_factory=dict)
    """By message id, when it came; the newest last."""
    unhandled: dict[str, Message] = field(default_factory=dict)
    """Came, and the host program is not done with it."""
    owed: dict[tuple[str, str], Ack] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    ended_commands: dict[str, None] = field(default_factory=dict)
    behind_s: float = 0.0
    """What the time of day lacked to be the server's."""

    def apply(self, event: Event) -> None:
        """Unknown events are from a newer version and passed over."""
        match event:
            case {"e": "got", "id": str(message_id), "at": float(at_s), "content": dict(content)}:
                message = Message(message_id, content)
                self.seen[message_id] = at_s
                self.unhandled[message_id] = message
                self._owe(Ack(message_id, at_s, message.ack_token))
                _forget_oldest(self.seen, REMEMBERED_MESSAGES)
            case {"e": "seen", "id": str(message_id), "at": float(at_s)}:
                self.seen[message_id] = at_s
            case {"e": "handled", "id": str(message_id)}:
                self.unhandled.pop(message_id, None)
            case {"e": "owe", "message_id": str(), "at_s": float(), **more}:
                self._owe(Ack(event["message_id"], event["at_s"], **{key: more[key] for key in SAID if key in more}))
            case {"e": "acked", "id": str(message_id), "status": str(status)}:
                self.owed.pop((message_id, status), None)
            case {"e": "behind", "s": float(behind_s)}:
                self.behind_s = behind_s
            case _:
                self._apply_to_orders(event)

    def _apply_to_orders(self, event: Event) -> None:
        match event:
            case {"e": "order", "id": str(command_id), "type": str(command_type), "payload": dict(payload)}:
                self.orders[command_id] = Order(Command(command_id, command_type, payload))
            case {"e": "started", "id": str(command_id)} if command_id in self.orders:
                self.orders[command_id].started = True
            case {"e": "over", "id": str(command_id), "report": dict(report)} if command_id in self.orders:
                self.orders[command_id].report = report
            case {"e": "ended", "id": str(command_id)}:
                self.orders.pop(command_id, None)
                self.ended_commands[command_id] = None
                _forget_oldest(self.ended_commands, REMEMBERED_COMMANDS)
            case _:
                pass

    def snapshot(self) -> Iterator[Event]:
        """The fewest events that give this memory again."""
        yield {"e": "behind", "s": self.behind_s}
        for message_id, at_s in self.seen.items():
            yield {"e": "seen", "id": message_id, "at": at_s}
        for message in self.unhandled.values():
            yield got(message, self.seen.get(message.message_id, 0.0))
        still_owed = {*self.owed}
        for message_id in self.unhandled.keys() - {message_id for message_id, _ in still_owed}:
            yield {"e": "acked", "id": message_id, "status": "delivered"}
        for ack in self.owed.values():
            yield owe(ack)
        for command_id in self.ended_commands:
            yield {"e": "ended", "id": command_id}
        for order in self.orders.values():
            yield ordered(order.command)
            if order.started:
                yield {"e": "started", "id": order.command.command_id}
            if order.report is not None:
                yield {"e": "over", "id": order.command.command_id, "report": dict(order.report)}

    def _owe(self, ack: Ack) -> None:
        self.owed.setdefault(ack.key, ack)
        _forget_oldest(self.owed, MOST_ACKS)


def got(message: Message, at_s: float) -> Event:
    return {"e": "got", "id": message.message_id, "at": float(at_s), "content": dict(message.content)}


def owe(ack: Ack) -> Event:
    said = {key: getattr(ack, key) for key in SAID}
    return {"e": "owe", "message_id": ack.message_id, "at_s": float(ack.at_s), **said}


def ordered(command: Command) -> Event:
    payload = dict(command.payload)
    return {"e": "order", "id": command.command_id, "type": command.command_type, "payload": payload}


def _forget_oldest(kept: dict[Any, Any], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
