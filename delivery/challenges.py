"""Proof that an address is the caller's: a code that is pushed to the address, and echoed.

A challenge belongs to an address and to nobody's device. So it is no message of the log: it takes the channel that it
is about and no other, waits in no inbox, counts in no rate, and carries no `ack_token`, which would name the owner. The
record holds the hash of its code alone. It leaves through the same workers, gates and providers as messages do.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from delivery import clocks, credentials, event_loop, gate, hints, sending
from delivery.models import AddressChallenge, Channel
from delivery.models.keys import key_hash, key_matches
from delivery.outcomes import Outcome, OutcomeKind, no_answer
from delivery.priority import Priority
from delivery.providers import clock
from delivery.providers.base import ConfigError, Message, Provider

log = logging.getLogger(__name__)

LIVES = timedelta(minutes=10)
PER_ADDRESS_AND_HOUR = 3
AN_HOUR = timedelta(hours=1)
KEPT = timedelta(days=1)
PUSHED_AT_ONCE = 50
PUSH_LEASE = timedelta(seconds=30)
"""After this a challenge whose worker died, or that the provider did not take, is pushed again."""
CODE_BYTES = 24
NOT_ASKED = frozenset({"mqtt"})
"""MQTT carries a message to its device's topic, whatever the client id: a code would only ever reach the old owner."""


@dataclass(frozen=True, slots=True)
class TooOften:
    """This address was asked as often as an hour allows."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Push:
    """A challenge that this process sends, with the one copy of its code."""

    challenge: AddressChallenge
    code: str


def offer(provider: str, address: str, *, requested_by: str, now: datetime) -> AddressChallenge | TooOften | None:
    """Have a code pushed to a registered address, for this caller to echo. None: this address cannot be asked."""
    if provider in NOT_ASKED:
        return None
    with transaction.atomic():
        channel = Channel.objects.select_for_update().of_address(provider, address).first()
        if channel is None:
            return None
        lately = AddressChallenge.objects.filter(channel=channel, created_at__gt=now - AN_HOUR).order_by("-created_at")
        asked_at = list(lately.values_list("created_at", flat=True)[:PER_ADDRESS_AND_HOUR])
        if len(asked_at) == PER_ADDRESS_AND_HOUR:
            return TooOften((asked_at[-1] + AN_HOUR - now).total_seconds())
        made = AddressChallenge.objects.create(
            channel=channel, requested_by=requested_by[:150], created_at=now, expires_at=now + LIVES, due_at=now
        )
        hints.wake_challenger(provider)
    return made


def answered(
    challenge_id: UUID, code: str, *, provider: str, address: str, requested_by: str, now: datetime
) -> AddressChallenge | None:
    """The challenge, where this caller echoes what was pushed to this address. Each call uses up a try.

    It commits by itself, so that a registration that fails afterwards gives no try back.
    """
    channels = Channel.objects.of_address(provider, address)
    asked = AddressChallenge.objects.filter(pk=challenge_id, channel__in=channels, requested_by=requested_by[:150])
    if not asked.count_try(now):
        return None
    challenge = asked.get()
    return challenge if key_matches(code, challenge.code_hash) else None


# --- In a worker of the provider
def push_due(name: str) -> int:
    """Push what waits for one credential of this provider, then wake a worker for the next; how many were tried."""
    for credential, config in credentials.usable().get(name, {}).items():
        tried = _push_due(name, credential, config)
        if tried:
            hints.wake_challenger(name)
            return tried
    return 0


def _push_due(name: str, credential: str, config: dict[str, Any]) -> int:
    now = clocks.db_now()
    clock.set_to(now)
    waiting = AddressChallenge.objects.due(now).filter(channel__provider=name, channel__credential=credential)
    due = list(waiting.select_related("channel").order_by("due_at")[:PUSHED_AT_ONCE])
    if not due:
        return 0
    may = gate.leave(name, credential, len(due), now, sending.own_limit(config))
    if not may.count:
        return 0
    try:
        provider = event_loop.provider_for(name, credential, config)
    except ConfigError as error:
        log.error("credential not usable", extra={"provider": name, "credential": credential, "why": str(error)})
        return 0
    pushes = _take(due[: may.count], now)
    outcomes = event_loop.submit(_try_all(provider, [_message(push, now) for push in pushes])).result()
    _note(pushes, outcomes, now)
    gate.learn(name, credential, outcomes, now)
    return len(pushes)


def _take(due: Sequence[AddressChallenge], now: datetime) -> list[Push]:
    """Each with a fresh code: only the code that was pushed last counts."""
    pushes = [Push(challenge, secrets.token_urlsafe(CODE_BYTES)) for challenge in due]
    return [
        push
        for push in pushes
        if AddressChallenge.objects.filter(pk=push.challenge.pk).take(
            key_hash(push.code), now=now, until=now + PUSH_LEASE
        )
    ]


async def _try_all(provider: Provider, messages: Sequence[Message]) -> list[Outcome]:
    return list(await asyncio.gather(*(_try_once(provider, message) for message in messages)))


async def _try_once(provider: Provider, message: Message) -> Outcome:
    try:
        return await asyncio.wait_for(provider.send_one(message), settings.SEND_DEADLINE_S)
    except TimeoutError:
        return no_answer("the provider did not answer in time")
    except Exception:
        log.exception("a provider raised instead of returning an outcome", extra={"provider": provider.name})
        return Outcome(kind=OutcomeKind.RETRY, code="provider_bug")


def _message(push: Push, now: datetime) -> Message:
    """Data alone, never shown. Its `message_id` is the challenge's id, so that an app knows whether it asked."""
    channel = push.challenge.channel
    return Message(
        message_id=str(push.challenge.pk),
        device_id="",
        address=channel.address,
        content={"data": {"challenge": push.code}, "data_only": True},
        priority=Priority.NORMAL,
        sent_at=now,
        ttl_s=max(1, int((push.challenge.expires_at - now).total_seconds())),
        ack_token="",
        ack_url="",
        environment=channel.environment,
    )


def _note(pushes: Sequence[Push], outcomes: Sequence[Outcome], now: datetime) -> None:
    """What the provider did not take waits, as long as it asks; all else has gone out or never will."""
    for push, outcome in zip(pushes, outcomes, strict=True):
        row = AddressChallenge.objects.filter(pk=push.challenge.pk)
        match outcome.kind:
            case OutcomeKind.ACCEPTED | OutcomeKind.ADDRESS_GONE | OutcomeKind.REJECTED:
                row.update(due_at=None)
            case OutcomeKind.RETRY | OutcomeKind.THROTTLED | OutcomeKind.MISCONFIGURED:
                row.update(due_at=now + max(PUSH_LEASE, timedelta(seconds=outcome.floor_s)))


# --- Sweeps
def rehint() -> int:
    """Wake workers for challenges that are due, whatever became of their hints; for how many providers."""
    due = AddressChallenge.objects.due(clocks.db_now())
    providers = set(due.values_list("channel__provider", flat=True).order_by())
    for provider in providers:
        hints.wake_challenger(provider)
    return len(providers)


def forget() -> int:
    """Delete what ended a day ago; until then it counts against its address's hour."""
    gone, _ = AddressChallenge.objects.filter(expires_at__lt=clocks.db_now() - KEPT).delete()
    return gone
