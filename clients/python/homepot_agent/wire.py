"""What travels between a device and its server: every key, path and topic of the contract, in one place. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

PREFIX = "/api/v1"
LONGEST_ID = 100
ACKS_PER_REQUEST = 100
INBOX_PAGE = 50

AckStatus = Literal["delivered", "opened", "clicked", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the device gets it, by any channel."""

    message_id: str
    content: Mapping[str, Any]
    """All that came, with the flat keys `title`, `body`, `priority`, `data`, `sent_at`."""

    @property
    def title(self) -> str:
        return str(self.content.get("title") or "")

    @property
    def body(self) -> str:
        return str(self.content.get("body") or "")

    @property
    def data(self) -> Mapping[str, Any]:
        """An object on every channel; FCM carries it as text."""
        return _object(self.content.get("data"))

    @property
    def ack_token(self) -> str:
        return str(self.content.get("ack_token") or "")

    @property
    def rings_for_command(self) -> bool:
        """A doorbell: nothing to show, something to fetch."""
        return self.data.get("type") == "command"

    @property
    def asks_for_address_of(self) -> str:
        """The provider whose address the server wants to hear again: nothing came by it. Empty: none."""
        return str(self.data.get("provider") or "") if self.data.get("type") == "register_again" else ""


@dataclass(frozen=True, slots=True)
class Ack:
    """The device's word about one message. `at_s` is the server's time as the device knows it, in Unix seconds."""

    message_id: str
    at_s: float
    ack_token: str = ""
    status: AckStatus = "delivered"
    error_code: str = ""
    error_message: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.message_id, self.status

    def body(self, device_id: str) -> dict[str, str]:
        said = {
            "message_id": self.message_id,
            "device_id": device_id,
            "status": self.status,
            "received_at": iso(self.at_s),
            "ack_token": self.ack_token,
            "error_code": self.error_code,
            "error_message": self.error_message,
        }
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Command:
    """What a technician wants this device to do."""

    command_id: str
    command_type: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Address:
    """What a push service knows this device by."""

    provider: Literal["fcm", "apns", "wns"]
    token: str
    environment: str = ""
    """APNs: `production` or `sandbox`."""


def read_message(payload: object) -> Message | None:
    """The message in what a channel handed over; None for anything else, which a device has to survive."""
    content = _object(payload)
    message_id = content.get("message_id")
    if not isinstance(message_id, str) or not 0 < len(message_id) <= LONGEST_ID:
        return None
    return Message(message_id, content)


def read_inbox(data: object) -> list[tuple[Message, str, str]]:
    """From `GET /push/pending`: each message, the provider that it was sent by, and when."""
    found = []
    pushes = data.get("pushes") if isinstance(data, dict) else None
    for push in pushes if isinstance(pushes, list) else []:
        payload = _object(push.get("payload")) if isinstance(push, dict) else {}
        message = read_message({**payload, "message_id": push.get("message_id")} if payload else None)
        if message is not None:
            found.append((message, str(push.get("provider") or ""), str(push.get("sent_at") or "")))
    return found


def read_done(payload: object) -> list[str]:
    """From `devices/{id}/acks/done`: messages whose acks are committed."""
    message_ids = _object(payload).get("message_ids")
    return [str(message_id) for message_id in message_ids] if isinstance(message_ids, list) else []


def read_commands(data: object) -> list[Command]:
    """From `GET /devices/pending`."""
    items = data if isinstance(data, list) else []
    return [
        Command(item["command_id"], str(item.get("command_type")), _object(item.get("payload")))
        for item in items
        if isinstance(item, dict) and isinstance(item.get("command_id"), str)
    ]


def heartbeat(device_id: str, site_id: str, now_s: float) -> dict[str, str]:
    return {"device_id": device_id, "site_id": site_id, "status": "ONLINE", "timestamp": iso(now_s)}


def channel(address: str, rank: int, capabilities: Mapping[str, object], environment: str = "") -> dict[str, object]:
    body: dict[str, object] = {"address": address, "rank": rank, "capabilities": dict(capabilities)}
    return {**body, "environment": environment} if environment else body


def notifications_topic(device_id: str) -> str:
    return f"devices/{device_id}/notifications"


def commands_topic(device_id: str) -> str:
    return f"devices/{device_id}/commands"


def acks_topic(device_id: str) -> str:
    return f"devices/{device_id}/acks"


def done_topic(device_id: str) -> str:
    return f"devices/{device_id}/acks/done"


def iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


def read_time_s(text: object) -> float | None:
    """Unix seconds of an ISO-8601 time; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if read is None:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _object(payload: object) -> Mapping[str, Any]:
    """A JSON object, read or still text; empty for whatever is none."""
    if isinstance(payload, Mapping):
        return payload
    if not isinstance(payload, (bytes, bytearray, str)):
        return {}
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
