"""What devices report about themselves, in batches: one insert per request."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from delivery.models import Device, TelemetryLog


@dataclass(frozen=True, slots=True)
class Entry:
    type: str
    message: str
    meta: dict[str, Any]
    timestamp: datetime | None
    """The device's clock; None where it said nothing: then ours counts."""


@dataclass(frozen=True, slots=True)
class Saved:
    batch_id: str
    count: int


def save(
    entries: Sequence[Entry], *, device: Device | None, person: User | None, batch_id: str | None, now: datetime
) -> Saved:
    """Store one batch. A `batch_id` that its sender used before stores nothing and tells what it stored then."""
    with transaction.atomic():
        if batch_id is not None:
            _one_at_a_time(device, person)
            earlier = TelemetryLog.objects.filter(device=device, batch_id=batch_id).count()
            if earlier:
                return Saved(batch_id, earlier)
        chosen = batch_id or uuid.uuid4().hex
        TelemetryLog.objects.bulk_create(
            TelemetryLog(
                device=device,
                batch_id=chosen,
                type=entry.type,
                message=entry.message,
                meta=entry.meta,
                timestamp=entry.timestamp or now,
                processed_at=now,
            )
            for entry in entries
        )
    return Saved(chosen, len(entries))


def _one_at_a_time(device: Device | None, person: User | None) -> None:
    """Hold the sender's own row, so that the same batch sent twice at once is stored once."""
    if device is not None:
        Device.objects.select_for_update().filter(pk=device.pk).first()
    elif person is not None:
        User.objects.select_for_update().filter(pk=person.pk).first()
