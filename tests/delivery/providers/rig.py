"""What the contract suite needs of one provider, and messages to send."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from delivery.outcomes import Outcome
from delivery.priority import Priority
from delivery.providers.base import Message, Provider

SECRET_TOKEN = "ack-token-that-no-log-may-show"
SECRET_ADDRESS = "0123456789abcdef" * 4

MESSAGE = Message(
    message_id="019a0000-0000-7000-8000-000000000000",
    device_id="till-1",
    address=SECRET_ADDRESS,
    content={"title": "Hello", "body": "A new menu", "data": {"version": "2.1"}},
    priority=Priority.NORMAL,
    sent_at=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
    ttl_s=300,
    ack_token=SECRET_TOKEN,
    ack_url="",
)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """One provider beside a real service of its kind on 127.0.0.1. Each call builds a new instance."""

    healthy: Callable[[], Provider]
    """The service takes everything that is not too large."""
    unreachable: Callable[[], Provider]
    """Nobody listens where the service should be."""
    silent: Callable[[float], Provider]
    """The service takes a message and never answers; the argument is the provider's deadline in seconds."""
    seen: Callable[[int], list[str]]
    """Wait until the service (or its devices) got so many messages; the ids that it got, also twice."""
    address: str = SECRET_ADDRESS
    """Of the healthy service; each address holds `SECRET_ADDRESS`."""
    unreachable_address: str = SECRET_ADDRESS
    silent_address: str = SECRET_ADDRESS
    """These two differ from `address` where the address itself says which service is meant."""
    ack_url: str = ""

    def messages(self, count: int, **changes: Any) -> list[Message]:
        own = {"address": self.address, "ack_url": self.ack_url, **changes}
        return [
            replace(MESSAGE, message_id=f"{MESSAGE.message_id[:-4]}{n:04d}", device_id=f"till-{n}", **own)
            for n in range(count)
        ]


def send(provider: Provider, messages: list[Message]) -> list[Outcome]:
    """One batch on an event loop of its own, as a worker would send it in a single-batch life."""

    async def life() -> list[Outcome]:
        await provider.start()
        try:
            return await provider.send(messages)
        finally:
            await provider.aclose()

    return asyncio.run(life())
