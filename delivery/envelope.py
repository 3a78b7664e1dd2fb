"""A provider's view of one log row: what travels to the device, and the proof with which it acks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings

from delivery import ack_tokens
from delivery.priority import Priority
from delivery.providers.base import Message


class Row(Protocol):
    """A claimed row, or a whole one."""

    @property
    def message_id(self) -> UUID: ...
    @property
    def device_id(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def expires_at(self) -> datetime: ...


def message(
    row: Row,
    content: Mapping[str, Any],
    *,
    sent_at: datetime,
    now: datetime,
    address: str = "",
    environment: str = "",
    collapse_key: str = "",
) -> Message:
    """`now` is where the rest of its life begins; without an address it is for the inbox."""
    message_id = str(row.message_id)
    return Message(
        message_id=message_id,
        device_id=row.device_id,
        address=address,
        content=content,
        priority=Priority(row.priority),
        sent_at=sent_at,
        ttl_s=max(1, int((row.expires_at - now).total_seconds())),
        ack_token=ack_tokens.sign(message_id, row.device_id, settings.ACK_KEYS),
        ack_url=f"{settings.PUBLIC_URL}/api/v1/push/ack",
        collapse_key=collapse_key,
        environment=environment,
    )
