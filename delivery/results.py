"""Step 5, the pipeline's side: each outcome's next step for its row, and one write for many."""

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from prometheus_client import Counter as Metric

from delivery import backoff, breaker, clocks, crash_points, fanout, gate, guard, hints, outage, routing
from delivery.in_flight import Attempt
from delivery.models import Channel, DeliveryAttempt, Device, PushNotificationLog, setwise
from delivery.models.push_log import INBOX
from delivery.models.push_log_rows import Again, Claimed, Failed, Sent
from delivery.outcomes import Outcome, OutcomeKind
from delivery.priority import Priority

log = logging.getLogger(__name__)

DATABASE_AWAY_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
USED_FRESH = timedelta(hours=1)
THROTTLED_WAIT_S = 10.0
PAUSE_S = 60.0
WAIT_BEHIND_GATE_S = 15.0

CHANNEL_CLOSED = Outcome(kind=OutcomeKind.REJECTED, code="channel_closed", detail="the channel is not in use any more")

LOST_CLAIMS = Metric("homepot_lost_claims", "Results that came after their lease and changed nothing", ["provider"])


class ClaimLost(Exception):
    """A row among these is another's by now."""


_budgets: defaultdict[tuple[str, str], breaker.RetryBudget] = defaultdict(breaker.RetryBudget)


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


def write(attempts: Sequence[Attempt], token: UUID) -> Sequence[Attempt]:
    """Commit what these attempts led to; those that were still ours to write down.

    While the database is away it tries again as long as the lease allows.
    """
    if not attempts:
        return ()
    in_order = sorted(attempts, key=lambda attempt: attempt.row.message_id)
    waits_s = iter(DATABASE_AWAY_WAITS_S)
    while True:
        try:
            written = setwise.again_on_deadlock(lambda: _write(in_order, token))
            break
        except (DatabaseError, InterfaceError) as error:
            wait_s = next(waits_s, None)
            if not outage.is_outage(error) or wait_s is None or connection.in_atomic_block:
                raise
            log.warning("results wait for the database", extra={"rows": len(attempts), "why": type(error).__name__})
            connection.close()
            time.sleep(wait_s)
    crash_points.passing("after_outcome_commit")
    _tell_of_lost_claims(in_order, written)
    return written


def _write(claimed: Sequence[Attempt], token: UUID) -> Sequence[Attempt]:
    """A claim that was lost writes nothing: its message is another's now, and what it saw may be long out of date.

    Where all were accepted, the one update tells by its count whether any was lost; else they are asked for first.
    """
    if all(attempt.outcome is not None and attempt.outcome.kind is OutcomeKind.ACCEPTED for attempt in claimed):
        with suppress(ClaimLost), transaction.atomic():
            _commit(claimed, token, surely_held=False)
            return claimed
    with transaction.atomic():
        held = PushNotificationLog.objects.held([attempt.row.id for attempt in claimed], token)
        attempts = [attempt for attempt in claimed if attempt.row.id in held]
        if attempts:
            _commit(attempts, token, surely_held=True)
    return attempts


def _commit(attempts: Sequence[Attempt], token: UUID, *, surely_held: bool) -> None:
    """Write down all that follows from these. `ClaimLost` where not all are `surely_held` and one was not."""
    now = clocks.db_now()
    steps = _next_steps(attempts, now)
    log_rows = PushNotificationLog.objects
    sent = log_rows.mark_sent(steps.sent, token=token) if steps.sent else 0
    if not surely_held and sent < len(attempts):
        raise ClaimLost
    if steps.again:
        log_rows.mark_due_again(steps.again, token=token)
    if steps.failed:
        log_rows.mark_failed(steps.failed, token=token)
    if steps.still_sent:
        log_rows.mark_still_sent(steps.still_sent, token=token)
    if steps.unsent:
        log_rows.give_back(steps.unsent, token=token, due_at=now)
    if stories := _stories(attempts):
        DeliveryAttempt.objects.bulk_create(stories)
    _note_use(attempts, now)
    _learn(attempts, now)
    for provider in steps.wake:
        hints.wake_sender(provider)
    crash_points.passing("before_outcome_commit")


def _tell_of_lost_claims(claimed: Sequence[Attempt], written: Sequence[Attempt]) -> None:
    kept = {attempt.row.id for attempt in written}
    for attempt in claimed:
        if attempt.row.id not in kept:
            outcome = attempt.outcome.kind.value if attempt.outcome is not None else "not sent"
            LOST_CLAIMS.labels(attempt.row.provider).inc()
            log.warning("claim lost", extra={**attempt.row.ids, "provider": attempt.row.provider, "outcome": outcome})


def _next_steps(attempts: Sequence[Attempt], now: datetime) -> NextSteps:
    steps = NextSteps()
    _earn(attempts)
    recipients = _recipients(
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
                steps.sent.append(_sent(attempt, outcome))
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


def _sent(attempt: Attempt, outcome: Outcome) -> Sent:
    after_s = settings.FALLBACK_AFTER_S.get(Priority(attempt.row.priority).word)
    hedge_at = None if after_s is None else attempt.started_at + timedelta(seconds=after_s)
    return Sent(
        attempt.row.id, attempt.started_at, outcome.provider_message_id, outcome.code, hedge_at, attempt.took_ms
    )


def _earn(attempts: Sequence[Attempt]) -> None:
    """First attempts pay for the repeats of their credential."""
    fresh = Counter({(a.row.provider, a.row.credential): 0 for a in attempts})
    fresh.update((a.row.provider, a.row.credential) for a in attempts if a.row.attempt_count <= 1)
    for credential, count in fresh.items():
        _budgets[credential].earn(count, time.monotonic())


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


def hedge(rows: Sequence[PushNotificationLog], now: datetime) -> int:
    """Sent rows without an ack: on the next channel too, where there is one; how many. Runs inside a transaction."""
    recipients = _recipients({row.device_id for row in rows})
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
    recipients = _recipients({row.device_id for row in rows})
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


def _stay(row: Claimed, outcome: Outcome, due_at: datetime, attempt_count: int) -> Again:
    return Again(
        row.id, row.provider, row.credential, row.channel_id, due_at, attempt_count, "", outcome.code, outcome.detail
    )


def _move(
    row: Claimed, outcome: Outcome, provider: str, credential: str, channel_id: int | None, due_at: datetime | None
) -> Again:
    return Again(row.id, provider, credential, channel_id, due_at, 0, row.provider, outcome.code, outcome.detail)


def _recipients(device_ids: set[str]) -> dict[str, Recipient]:
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


def _stories(attempts: Sequence[Attempt]) -> list[DeliveryAttempt]:
    """A row for each attempt that was not simply accepted: refused, or accepted after another channel had."""
    return [
        DeliveryAttempt(
            push_id=attempt.row.id,
            provider=attempt.row.provider,
            channel_id=attempt.row.channel_id,
            started_at=attempt.started_at,
            took_ms=attempt.took_ms,
            outcome=attempt.outcome.kind.value,
            code=attempt.outcome.code[:100],
            detail=attempt.outcome.detail[:500],
        )
        for attempt in attempts
        if attempt.outcome is not None
        and (attempt.outcome.kind is not OutcomeKind.ACCEPTED or attempt.row.sent_at is not None)
    ]


def _learn(attempts: Sequence[Attempt], now: datetime) -> None:
    """What these attempts say about their credentials and addresses."""
    by_credential: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in attempts:
        by_credential.setdefault((attempt.row.provider, attempt.row.credential), []).append(attempt)
    for (provider, credential), tried in by_credential.items():
        outcomes = [attempt.outcome for attempt in tried if attempt.outcome is not None]
        gate.learn(provider, credential, outcomes, now)
        guard.tell_of_rejections(provider, credential, outcomes, now)
        guard.watch(
            provider,
            credential,
            _gone(tried),
            sends=len(outcomes),
            accepted=sum(outcome.kind is OutcomeKind.ACCEPTED for outcome in outcomes),
            now=now,
        )


def _gone(attempts: Sequence[Attempt]) -> dict[int, str]:
    """Channels whose address the provider called gone; not those that registered again after it went."""
    said = {
        attempt.row.channel_id: attempt.outcome
        for attempt in attempts
        if attempt.outcome is not None and attempt.outcome.kind is OutcomeKind.ADDRESS_GONE
    }
    if not said:
        return {}
    registered = dict(Channel.objects.filter(id__in=said).values_list("id", "registered_at"))
    return {
        channel_id: outcome.code
        for channel_id, outcome in said.items()
        if outcome.gone_since is None or registered[channel_id] < outcome.gone_since
    }


def _note_use(attempts: Sequence[Attempt], now: datetime) -> None:
    """`last_used_at` of channels that carried a message, at most one write per channel and hour."""
    stale = {
        attempt.row.channel_id
        for attempt in attempts
        if attempt.outcome is not None
        and attempt.outcome.kind is OutcomeKind.ACCEPTED
        and (attempt.channel_used_at is None or attempt.channel_used_at <= now - USED_FRESH)
    }
    if stale:
        Channel.objects.note_use(sorted(stale), now)
