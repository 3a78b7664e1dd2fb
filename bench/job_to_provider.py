"""From `POST /jobs` to `sent` committed: the whole pipeline, through TLS, on durable servers.

Its limit is the provider's own transport in one process, without a database, in the same run.
"""

import asyncio
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import uvloop

from bench import cpu
from bench.case import Case, Figures
from bench.stage import Play, Stage
from delivery.outcomes import OutcomeKind
from delivery.priority import Priority
from delivery.providers import get_push_provider
from delivery.providers.base import Message, Provider

MESSAGES = 50_000
WINDOW = 100
CONTENT = {"title": "New prices", "body": "Valid from today", "data": {"action": "load_prices"}}
ADDRESSES = {"fcm": "'token-' || n", "apns": "lpad(to_hex(n), 64, '0')"}
"""SQL for the address of device number `n`."""


def case(provider: str) -> Case:
    return Case(
        name=f"job_to_provider_{provider}",
        sentence=f"{MESSAGES} messages from one job to {provider}, each committed as sent",
        unit="msg/s",
        limit="the transport alone",
        measure=_measure(provider),
    )


def _measure(provider: str) -> Callable[[Stage], Figures]:
    def measure(stage: Stage) -> Figures:
        with stage.play("fanout", "maintenance", provider) as play:
            play.devices(provider, MESSAGES, ADDRESSES[provider])
            play.warm_up(provider)
            value, cost_us = _job(play, stage, provider)
            return Figures(value, _transport(stage, play, provider), cost_us)

    return measure


def _job(play: Play, stage: Stage, provider: str) -> tuple[float, dict[str, float]]:
    """Messages a second, and what each cost; an error where the stub counted other than the database."""
    parts = play.processes()
    counted, before = stage.stub.counts()[provider], cpu.seconds(parts)
    seconds = play.send_all(MESSAGES)
    cost_us = cpu.spent_us(before, cpu.seconds(parts), MESSAGES)
    taken = stage.stub.counts()[provider] - counted
    if taken != MESSAGES:
        raise AssertionError(f"the stub counted {taken} messages, the database {MESSAGES}")
    return MESSAGES / seconds, cost_us


def _transport(stage: Stage, play: Play, provider: str) -> float:
    config = tomllib.loads(play.credentials_file.read_text(encoding="utf-8"))[provider]["default"]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send(get_push_provider(provider, config), provider))


async def _send(provider: Provider, name: str) -> float:
    """Messages a second with the product's window; the first thousand warm up."""
    await provider.start()
    try:
        await _burst(provider, [_message(name, number) for number in range(1_000)])
        messages = [_message(name, number) for number in range(MESSAGES // 2)]
        began = time.monotonic()
        await _burst(provider, messages)
        return len(messages) / (time.monotonic() - began)
    finally:
        await provider.aclose()


async def _burst(provider: Provider, messages: list[Message]) -> None:
    left = iter(messages)

    async def sender() -> None:
        for message in left:
            outcome = await provider.send_one(message)
            assert outcome.kind is OutcomeKind.ACCEPTED, outcome

    await asyncio.gather(*(sender() for _ in range(WINDOW)))


def _message(provider: str, number: int) -> Message:
    return Message(
        message_id=str(uuid4()),
        device_id=f"{provider}-{number}",
        address=f"{number:064x}",
        content=CONTENT,
        priority=Priority.NORMAL,
        sent_at=datetime.now(UTC),
        ttl_s=86_400,
        ack_token=f"{provider}-{number}.{'x' * 24}",
        ack_url="https://example.org/api/v1/push/ack",
    )
