"""The provider's own transport in one process, without a database: what the pipeline could reach at most."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import uvloop

from bench import addresses
from bench.stage import Stage
from delivery.outcomes import OutcomeKind
from delivery.priority import Priority
from delivery.providers import get_push_provider
from delivery.providers.base import Message, Provider

MESSAGES = 25_000
WARM_UP = 1_000
WINDOW = 100
CONTENT = {"title": "New prices", "body": "Valid from today", "data": {"action": "load_prices"}}


def rate(stage: Stage, provider: str, credential: Mapping[str, Any]) -> float:
    """Messages a second with the product's window, every one of which arrived."""
    known = addresses.some(provider, stage.stub.url)
    messages = [message(provider, number, known[number % len(known)]) for number in range(WARM_UP + MESSAGES)]
    with (
        stage.expecting(provider, len(messages)),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return MESSAGES / runner.run(_seconds(get_push_provider(provider, credential), messages))


async def _seconds(provider: Provider, messages: list[Message]) -> float:
    await provider.start()
    try:
        await _burst(provider, messages[:WARM_UP])
        began = time.monotonic()
        await _burst(provider, messages[WARM_UP:])
        return time.monotonic() - began
    finally:
        await provider.aclose()


async def _burst(provider: Provider, messages: list[Message]) -> None:
    left = iter(messages)

    async def sender() -> None:
        for each in left:
            outcome = await provider.send_one(each)
            assert outcome.kind is OutcomeKind.ACCEPTED, outcome

    await asyncio.gather(*(sender() for _ in range(WINDOW)))


def message(provider: str, number: int, address: str) -> Message:
    return Message(
        message_id=str(uuid4()),
        device_id=f"{provider}-{number}",
        address=address,
        content=CONTENT,
        priority=Priority.NORMAL,
        sent_at=datetime.now(UTC),
        ttl_s=86_400,
        ack_token=f"{provider}-{number}.{'x' * 24}",
        ack_url="https://example.org/api/v1/push/ack",
    )
