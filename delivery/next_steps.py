"""Step 5, the pipeline's side: what each outcome means for its row.

Only decided here: results.py writes it down.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never

from django.conf import settings

from delivery import backoff, breaker, fanout, routing
from delivery.in_flight import Attempt
from delivery.models import Device
from delivery.models.push_log import INBOX
from delivery.models.push_log_rows import Again, Claimed, Failed, Sent
from delivery.outcomes import Outcome, OutcomeKind
from delivery.priority import Priority

THROTTLED_WAIT_S = 10.0
PAUSE_S = 60.0

CHANNEL_CLOSED = Outcome(kind=OutcomeKind.REJECTED, code="channel_closed", detail="the channel is not in use any more")

REPEATS_PER_S = 1.0
"""Of one credential, by all processes together, beside the share that first attempts pay for."""


def _own_budget() -> breaker.RetryBudget:
    return breaker.RetryBudget(per_s=REPEATS_PER_S / settings.SEND_PROCESSES)


_budgets: defaultdict[tuple[str, str], breaker.RetryBudget] = defaultdict(_own_budget)


@dataclass(slots=True)
class NextSteps:
    """What one write does, by verb."""

    sent: list[Sent] = field(default_factory=list)
    again: list[Again] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    still_sent: list[int] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)
    wake: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Recipient:
    """What routing needs to know of the device of a row that was not accepted."""

    ways: Sequence[routing.Way]
    capabilities: Mapping[str, Any]
    has_key: bool
    can_send: frozenset[tuple[str, str]]


def earn(attempts: Sequence[Attempt]) -> None:
    """First attempts pay for the repeats of their credential."""
    rows = [attempt.row for attempt in attempts]
    first = Counter([(row.provider, row.credential) for row in rows if row.attempt_count <= 1])
    for credential in {(row.provider, row.credential) for row in rows}:
        _budgets[credential].earn(first[credential], time.monotonic())


def of(attempts: Sequence[Attempt], now: datetime) -> NextSteps:
    steps = NextSteps()
    recipients = recipients_of(
        {a.row.device_id for a in attempts if a.outcome is None or a.outcome.kind is not OutcomeKind.ACCEPTED}
    )
    for attempt in attempts:
        row, outcome = attempt.row, attempt.outcome
        if outcome is None:
            if attempt.channel_usable:
                steps.unsent.append(row.id)
            else:
                _next_channel(steps, row, CHANNEL_CLOSED, recipients, now)
            continue
        match outcome.kind:
            case OutcomeKind.ACCEPTED:
                steps.sent.append(sent(attempt))
            case OutcomeKind.RETRY:
                _later(steps, row, outcome, recipients, now, floor_s=outcome.floor_s)
            case OutcomeKind.THROTTLED:
                _later(steps, row, outcome, recipients, now, floor_s=outcome.floor_s or THROTTLED_WAIT_S)
            case OutcomeKind.ADDRESS_GONE:
                _next_channel(steps, row, outcome, recipients, now)
            case OutcomeKind.REJECTED:
                _next_channel(steps, row, outcome, recipients, now)
            case OutcomeKind.MISCONFIGURED:
                _keep_or_move(steps, row, outcome, recipients, now)
            case _:
                assert_never(outcome.kind)
    return steps


def sent(attempt: Attempt) -> Sent:
    """What is written down of an accepted attempt."""
    outcome = attempt.outcome
    assert outcome is not None
    after_s = settings.FALLBACK_AFTER_S.get(Priority(attempt.row.priority).word)
    hedge_at = None if after_s is None else attempt.started_at + timedelta(seconds=after_s)
    return Sent(
        attempt.row.id, attempt.started_at, outcome.provider_message_id, outcome.code, hedge_at, attempt.took_ms
    )


def _later(
    steps: NextSteps, row: Claimed, outcome: Outcome, recipients: Mapping[str, Recipient], now: datetime, floor_s: float
) -> None:
    """The same channel again after a while; the next one where the tries or the time are used up."""
    wait_s = backoff.retry_delay_s(
        row.attempt_count, base_s=settings.RETRY_BASE_S, cap_s=settings.RETRY_CAP_S, floor_s=floor_s
    )
    budget = _budgets[row.provider, row.credential] if outcome.retry_after_s is None else None
    if budget is not None:
        wait_s = max(wait_s, budget.wait_s())
    due_at = now + timedelta(seconds=wait_s)
    if row.attempt_count >= settings.MAX_ATTEMPTS or due_at >= row.expires_at:
        _next_channel(steps, row, outcome, recipients, now)
        return
    if budget is not None:
        budget.spend()
    steps.again.append(_stay(row, outcome, due_at, row.attempt_count))


def _next_channel(
    steps: NextSteps, row: Claimed, outcome: Outcome, recipients: Mapping[str, Recipient], now: datetime
) -> None:
    """The next channel by rank at once; else the inbox; else, without a key to poll with, the end."""
    device = recipients[row.device_id]
    way = routing.next_way(device.ways, device.capabilities, device.can_send, row.channel_id)
    if way is not None:
        steps.again.append(_move(row, outcome, way.provider, way.credential, way.channel_id, now))
        steps.wake.add(way.provider)
    elif row.sent_at is not None:
        steps.still_sent.append(row.id)
    elif device.has_key:
        steps.again.append(_move(row, outcome, INBOX, "", None, None))
    else:
        steps.failed.append(Failed(row.id, outcome.code or outcome.kind.value, outcome.detail))


def _keep_or_move(
    steps: NextSteps, row: Claimed, outcome: Outcome, recipients: Mapping[str, Recipient], now: datetime
) -> None:
    """Our own credential failed: another channel if there is one, else the row waits here, the attempt not counted."""
    device = recipients[row.device_id]
    others = device.can_send - {(row.provider, row.credential)}
    way = routing.next_way(device.ways, device.capabilities, others, row.channel_id)
    if way is not None:
        steps.again.append(_move(row, outcome, way.provider, way.credential, way.channel_id, now))
        steps.wake.add(way.provider)
    else:
        steps.again.append(_stay(row, outcome, now + timedelta(seconds=PAUSE_S), row.attempt_count - 1))


def _stay(row: Claimed, outcome: Outcome, due_at: datetime, attempt_count: int) -> Again:
    return Again(
        row.id, row.provider, row.credential, row.channel_id, due_at, attempt_count, "", outcome.code, outcome.detail
    )


def _move(
    row: Claimed, outcome: Outcome, provider: str, credential: str, channel_id: int | None, due_at: datetime | None
) -> Again:
    return Again(row.id, provider, credential, channel_id, due_at, 0, row.provider, outcome.code, outcome.detail)


def recipients_of(device_ids: set[str]) -> dict[str, Recipient]:
    if not device_ids:
        return {}
    devices = Device.objects.filter(device_id__in=device_ids).only("id", "device_id", "capabilities", "key_hash")
    by_id = {device.pk: device for device in devices}
    ways = fanout.usable_ways(list(by_id))
    can_send = fanout.available()
    return {
        device.device_id: Recipient(ways[device.pk], device.capabilities, device.has_key, can_send)
        for device in by_id.values()
    }
