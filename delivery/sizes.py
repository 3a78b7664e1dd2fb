"""Whether a payload fits what the providers of its devices take: asked when it is ordered, not when it fails."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from delivery import ack_tokens, credentials
from delivery.models import Channel, Device
from delivery.priority import Priority
from delivery.providers import get_push_provider
from delivery.providers.base import ConfigError, Message

SMALL_BYTES = 1_500
"""A payload up to this size fits every provider."""
SAMPLE_ID = str(UUID(int=0))
SAMPLE_DEVICE = "d" * 64


class TooLarge(ValueError):
    """Says how large the payload is, for which provider, and what to do."""


def check(payload: Mapping[str, Any], priority: Priority, devices: QuerySet[Device]) -> None:
    """`TooLarge` where one of these devices has a channel of a provider that would refuse the payload."""
    if len(json.dumps(payload)) <= SMALL_BYTES:
        return
    sample = _sample(payload, priority)
    for name, configs in credentials.usable().items():
        try:
            provider = get_push_provider(name, next(iter(configs.values())))
        except ConfigError:  # its key file is being replaced at this moment; the send looks at the size again
            continue
        size_bytes = len(provider.payload_bytes(sample))
        if size_bytes > provider.max_payload_bytes and _is_used(name, devices):
            raise TooLarge(
                f"is {size_bytes} bytes as {name} sends it, which takes {provider.max_payload_bytes}. Shorten it: "
                f"send an address to fetch the rest from, or say less under platforms.{name}"
            )


def _is_used(provider: str, devices: QuerySet[Device]) -> bool:
    return Channel.objects.usable().filter(provider=provider, device__in=devices.values("pk")).exists()


def _sample(payload: Mapping[str, Any], priority: Priority) -> Message:
    return Message(
        message_id=SAMPLE_ID,
        device_id=SAMPLE_DEVICE,
        address="",
        content=payload,
        priority=priority,
        sent_at=datetime.now(UTC),
        ttl_s=settings.DEFAULT_TTL_S,
        ack_token=ack_tokens.sign(SAMPLE_ID, SAMPLE_DEVICE, settings.ACK_KEYS),
        ack_url=f"{settings.PUBLIC_URL}/api/v1/push/ack",
    )
