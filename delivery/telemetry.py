"""What devices report about themselves, in batches: one insert per request."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from delivery.models import Device, TelemetryBatch, TelemetryLog


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


def save(entries: Sequence[Entry], *, sender: str, device: Device | None, batch_id: str | None, now: datetime) -> Saved:
    """Store one batch. A `batch_id` that its sender used before stores nothing and tells what it stored then."""
    chosen = batch_id or uuid.uuid4().hex
    with transaction.atomic():
        if batch_id is not None and not TelemetryBatch.objects.begin(sender, batch_id, len(entries), now):
            return Saved(batch_id, TelemetryBatch.objects.get(sender=sender, batch_id=batch_id).saved_count)
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
