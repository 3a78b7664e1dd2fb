"""Messages that go to another channel without an outcome: no ack came, or their provider is closed for long."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from delivery import hints, routing
from delivery.models import PushNotificationLog
from delivery.models.push_log_rows import Again
from delivery.next_steps import recipients_of

WAIT_BEHIND_GATE_S = 15.0


def hedge(rows: Sequence[PushNotificationLog], now: datetime) -> int:
    """Sent rows without an ack: on the next channel too, where there is one; how many. Runs inside a transaction."""
    recipients = recipients_of({row.device_id for row in rows})
    again, alone = [], []
    for row in rows:
        device = recipients[row.device_id]
        way = routing.next_way(device.ways, device.capabilities, device.can_send, row.channel_id or 0)
        if way is None:
            alone.append(row.pk)
        else:
            again.append(
                Again(row.pk, way.provider, way.credential, way.channel_id, now, 0, row.provider, "no_ack", "")
            )
    PushNotificationLog.objects.hedge(again)
    PushNotificationLog.objects.unhedge(alone)
    for provider in {step.provider for step in again}:
        hints.wake_sender(provider)
    return len(again)


def move_on(rows: Sequence[PushNotificationLog], now: datetime) -> int:
    """Unclaimed rows that were due `now` behind a closed gate: to the next channel, or they wait a little; how many
    were to move."""
    recipients = recipients_of({row.device_id for row in rows})
    again = []
    for row in rows:
        device = recipients[row.device_id]
        way = routing.next_way(device.ways, device.capabilities, device.can_send, row.channel_id or 0)
        if way is None:
            due_at = now + timedelta(seconds=WAIT_BEHIND_GATE_S * random.uniform(0.5, 1.0))
            again.append(
                Again(
                    row.pk,
                    row.provider,
                    row.credential,
                    row.channel_id,
                    due_at,
                    row.attempt_count,
                    "",
                    row.error_code,
                    row.error_message,
                )
            )
        else:
            again.append(
                Again(
                    row.pk,
                    way.provider,
                    way.credential,
                    way.channel_id,
                    now,
                    0,
                    row.provider,
                    "gate_closed",
                    "the provider was closed for long",
                )
            )
    with transaction.atomic():
        PushNotificationLog.objects.move_waiting(again, seen_at=now)
        moved = [step for step in again if step.fallback_from]
        for provider in {step.provider for step in moved}:
            hints.wake_sender(provider)
    return len(moved)
