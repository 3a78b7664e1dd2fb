"""What every provider promises: plain values in, one outcome out.

A provider never sleeps between tries, retries, reads the database, imports Celery or logs an address.
URLs, certificates and clocks are arguments, so that tests need no patching.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from delivery.outcomes import Outcome
from delivery.priority import Priority


class ConfigError(Exception):
    """A provider lacks something; the text names the variable and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message for one channel, as a provider needs it.

    `content` is the order's payload: `title`, `body`, `data`, and what else the platform shows (`image`, `badge`, ...).
    `sent_at` is the start of this attempt; `ttl_s` is what is left of the message's life, at least 1.
    """

    message_id: str
    device_id: str
    address: str
    content: Mapping[str, Any]
    priority: Priority
    sent_at: datetime
    ttl_s: int
    ack_token: str
    ack_url: str
    collapse_key: str = ""
    environment: str = ""


def flat(message: Message) -> dict[str, Any]:
    """What the device receives in every channel (api.md, "Messages"): the flat keys of the wire contract."""
    return {
        **{key: value for key, value in message.content.items() if key not in ("platforms",)},
        "message_id": message.message_id,
        "sent_at": message.sent_at.isoformat(),
        "title": message.content.get("title", ""),
        "body": message.content.get("body", ""),
        "priority": message.priority.word,
        "data": message.content.get("data") or {},
        "ack_token": message.ack_token,
        "ack_url": message.ack_url,
    }


def overrides(message: Message, provider: str) -> Mapping[str, Any]:
    """What the order says for this provider alone (`platforms`), to be laid over the rest of the content."""
    platforms = message.content.get("platforms")
    if not platforms:
        return {}
    found = platforms.get(provider) if isinstance(platforms, Mapping) else None
    return found if isinstance(found, Mapping) else {}


class Provider(ABC):
    """A service that takes messages. One instance per credential and process, alive as long as the process."""

    name: ClassVar[str]
    max_payload_bytes: ClassVar[int]
    """The size of the rendered payload that the service takes."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from one credential's settings. Opens nothing yet; `ConfigError` names what is missing."""

    def check_address(self, address: str) -> None:
        """At registration: `ValueError` says what is wrong with the address. May ask the DNS, so it may block."""
        return

    def payload_bytes(self, message: Message) -> bytes:
        """The rendered payload, whose size `max_payload_bytes` limits."""
        return json.dumps(flat(message), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")

    async def start(self) -> None:
        """Open what must be open before the first send. Runs on the worker's event loop; may be called again."""
        return

    async def aclose(self) -> None:
        """Close what `start` or a send opened."""
        return

    @abstractmethod
    async def send_one(self, message: Message) -> Outcome:
        """One try. Never raises for anything that the other side does: that is what outcomes are for."""

    async def probe_one(self, message: Message) -> Outcome | None:
        """Ask whether the message would be taken, and send nothing. None: this provider cannot be asked."""
        return None

    async def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """One try each, all in flight together; the answer has the order of `messages`."""
        return list(await asyncio.gather(*(self.send_one(message) for message in messages)))
