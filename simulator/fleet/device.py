"""One simulated device: who it is, what it got, and what it still owes the server. No input or output here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from simulator.fleet.habits import DeviceClock

FCM, MQTT, SIMULATION, INBOX = "fcm", "mqtt", "simulation", "inbox"
PUSH_SERVICES = (FCM, "apns", "wns", "web_push")
CHANNELS = (*PUSH_SERVICES, MQTT, SIMULATION, INBOX)
REMEMBERED = 1_000
"""So many message ids a device keeps to drop duplicates by; real agents keep few, too."""


@dataclass(slots=True, kw_only=True)
class Identity:
    """What a device must not forget: the key is given out once."""

    device_id: str
    api_key: str
    site_id: str
    name: str
    channel: str
    """One of CHANNELS; `inbox`: no push at all, it polls."""
    registered: bool = False
    """Whether the server knows its channel, too."""
    address: str = ""
    """What its push service knows it by; empty for a device of no push service."""
    mqtt_fallback: bool = False
    """Whether it listens on MQTT, too, for when its push service fails."""

    @property
    def listens_on_mqtt(self) -> bool:
        return self.channel == MQTT or self.mqtt_fallback

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Device-ID": self.device_id, "X-API-Key": self.api_key}


@dataclass(slots=True, eq=False)
class Ack:
    """One message that reached its device. `give_up_at` is on the event loop's clock."""

    device: "Device"
    message_id: str
    ack_token: str
    give_up_at: float
    refusal: str = ""
    """The code with which the device refuses the message; empty: it takes it."""
    received_at: str = ""
    tries: int = 0

    def arrive(self, at: datetime) -> None:
        """The device has the message at this time of its own clock; the first counts, however often it is repeated."""
        if not self.received_at:
            self.received_at = at.isoformat()

    def body(self) -> dict[str, str]:
        body = {
            "message_id": self.message_id,
            "device_id": self.device.identity.device_id,
            "status": "failed" if self.refusal else "delivered",
            "received_at": self.received_at,
        }
        if self.refusal:
            body["error_code"] = self.refusal
        if self.ack_token:
            body["ack_token"] = self.ack_token
        return body


@dataclass(slots=True, eq=False)
class Device:
    identity: Identity
    acks_over_mqtt: bool = False
    clock: DeviceClock = field(default_factory=DeviceClock)
    away: bool = False
    """Without network or power just now."""
    received: int = 0
    """Different messages."""
    duplicates: int = 0
    """Pushes of a message that was pushed before. The inbox repeats by design and is not counted."""
    acked: int = 0
    """Messages whose ack the server confirmed."""
    _pushed: dict[str, bool] = field(default_factory=dict)

    def receive(self, message: Mapping[str, Any], *, pushed: bool, give_up_at: float) -> Ack | None:
        """Take a message in and return the ack that is owed for it; None for one that it had already."""
        message_id = str(message["message_id"])
        before = self._pushed.get(message_id)
        self._pushed[message_id] = pushed or bool(before)
        if before is not None:
            self.duplicates += pushed and before
            return None
        if len(self._pushed) > REMEMBERED:
            del self._pushed[next(iter(self._pushed))]
        self.received += 1
        return Ack(self, message_id, str(message.get("ack_token") or ""), give_up_at)


def read_message(payload: object) -> dict[str, Any] | None:
    """The message in an MQTT payload; None for anything else, which a device has to survive."""
    message = _object(payload)
    return message if message.get("message_id") else None


def read_done(payload: object) -> list[object]:
    """The message ids whose acks the server says it has committed."""
    message_ids = _object(payload).get("message_ids")
    return message_ids if isinstance(message_ids, list) else []


def _object(payload: object) -> dict[str, Any]:
    """Empty for whatever is not a JSON object."""
    if not isinstance(payload, (bytes, bytearray, str)):
        return {}
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
