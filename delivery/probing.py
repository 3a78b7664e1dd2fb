"""Ask providers whether addresses are good, without sending anything, for those that can be asked."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from delivery import credentials, event_loop, gate, sending
from delivery.models import Channel
from delivery.models.keys import new_message_id
from delivery.outcomes import Outcome, no_answer
from delivery.priority import Priority
from delivery.providers import clock
from delivery.providers.base import ConfigError, Message, Provider

log = logging.getLogger(__name__)

NOT_NOW = no_answer("the provider may not be asked now")


def probe(channels: Sequence[Channel], now: datetime) -> dict[int, Outcome | None]:
    """By channel (row id): the provider's answer; None where it cannot be asked at all.

    One that may not be asked now has `no_answer`. An address that is called gone stays: the next send finds it out,
    too, and then the guard judges (guard.py).
    """
    clock.set_to(now)
    groups: defaultdict[tuple[str, str], list[Channel]] = defaultdict(list)
    for channel in channels:
        groups[channel.provider, channel.credential].append(channel)
    found: dict[int, Outcome | None] = {}
    for (name, credential), members in groups.items():
        found |= _probe(name, credential, members, now)
    return found


def _probe(name: str, credential: str, channels: Sequence[Channel], now: datetime) -> dict[int, Outcome | None]:
    config = credentials.usable().get(name, {}).get(credential)
    if config is None:
        return {channel.pk: None for channel in channels}
    answers: dict[int, Outcome | None] = {channel.pk: NOT_NOW for channel in channels}
    may = 0 if gate.is_closed(name, credential) else _leave(name, credential, len(channels), config, now)
    asked = channels[:may]
    try:
        provider = event_loop.provider_for(name, credential, config)
    except ConfigError as error:
        log.error("credential not usable", extra={"provider": name, "credential": credential, "why": str(error)})
        return answers
    outcomes = event_loop.submit(_ask_all(provider, [_message(channel, now) for channel in asked])).result()
    answers |= {channel.pk: outcome for channel, outcome in zip(asked, outcomes, strict=True)}
    gate.learn(name, credential, [outcome for outcome in outcomes if outcome is not None], now)
    return answers


def _leave(name: str, credential: str, want: int, config: dict[str, Any], now: datetime) -> int:
    return gate.leave(name, credential, want, now, sending.own_limit(config)).count


async def _ask_all(provider: Provider, messages: Sequence[Message]) -> list[Outcome | None]:
    return list(await asyncio.gather(*(_ask(provider, message) for message in messages)))


async def _ask(provider: Provider, message: Message) -> Outcome | None:
    try:
        return await asyncio.wait_for(provider.probe_one(message), settings.SEND_DEADLINE_S)
    except TimeoutError:
        return no_answer("the provider did not answer in time")
    except Exception:
        log.exception("a provider raised instead of returning an outcome", extra={"provider": provider.name})
        return no_answer("a bug")


def _message(channel: Channel, now: datetime) -> Message:
    return Message(
        message_id=str(new_message_id()),
        device_id="",
        address=channel.address,
        content={"data": {}, "data_only": True},
        priority=Priority.NORMAL,
        sent_at=now,
        ttl_s=60,
        ack_token="",
        ack_url="",
        environment=channel.environment,
    )
