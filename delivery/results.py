"""Step 5, the pipeline's side: what attempts led to, in one write for many."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection, transaction
from prometheus_client import Counter as Metric

from delivery import clocks, crash_points, gate, guard, hints, next_steps, outage
from delivery.in_flight import Attempt
from delivery.models import Channel, DeliveryAttempt, PushNotificationLog, setwise
from delivery.models.push_log_rows import Sent
from delivery.models.push_log_verbs import USED_FRESH
from delivery.outcomes import OutcomeKind

log = logging.getLogger(__name__)

DATABASE_AWAY_WAITS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)

LOST_CLAIMS = Metric("homepot_lost_claims", "Results that came after their lease and changed nothing", ["provider"])


def write(attempts: Sequence[Attempt], token: UUID, now: datetime | None = None) -> Sequence[Attempt]:
    """Commit what these attempts led to; those that were still ours to write down. Who knows the time says it.

    While the database is away it tries again as long as the lease allows.
    """
    if not attempts:
        return ()
    next_steps.earn(attempts)
    in_order = sorted(attempts, key=lambda attempt: attempt.row.message_id.int)
    waits_s = iter(DATABASE_AWAY_WAITS_S)
    while True:
        try:
            written = setwise.again_on_deadlock(lambda: _write(in_order, token, now or clocks.db_now()))
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


def end(token: UUID) -> None:
    """Every result of this claim is written. If that cannot be noted, a sweep finds it out when the lease is over."""
    try:
        PushNotificationLog.objects.end_claim(token)
    except (DatabaseError, InterfaceError) as error:
        if not outage.is_outage(error) or connection.in_atomic_block:
            raise
        log.warning("the end of a claim was not noted", extra={"why": type(error).__name__})
        connection.close()


def _write(claimed: Sequence[Attempt], token: UUID, now: datetime) -> Sequence[Attempt]:
    """A claim that was lost writes nothing: its message is another's now, and what it saw may be long out of date.

    As a rule all were simply accepted: one statement, which tells what was still held.
    """
    with transaction.atomic():
        if all(map(_simply_accepted, claimed)):
            held = _mark_sent([next_steps.sent(attempt) for attempt in claimed], claimed, token, now)
            attempts = [attempt for attempt in claimed if attempt.row.id in held]
            _learn(attempts, now)
        else:
            held = PushNotificationLog.objects.held([attempt.row.id for attempt in claimed], token)
            attempts = [attempt for attempt in claimed if attempt.row.id in held]
            if attempts:
                _commit(attempts, token, now)
        crash_points.passing("before_outcome_commit")
    return attempts


def _simply_accepted(attempt: Attempt) -> bool:
    """And no channel before had."""
    accepted = attempt.outcome is not None and attempt.outcome.kind is OutcomeKind.ACCEPTED
    return accepted and attempt.row.sent_at is None


def _mark_sent(sent: Sequence[Sent], attempts: Sequence[Attempt], token: UUID, now: datetime) -> set[int]:
    """Their channels' use is noted where one of them was not used lately."""
    fresh = now - USED_FRESH
    used_at = now if any(a.channel_used_at is None or a.channel_used_at <= fresh for a in attempts) else None
    return PushNotificationLog.objects.mark_sent(sent, token=token, used_at=used_at)


def _commit(attempts: Sequence[Attempt], token: UUID, now: datetime) -> None:
    """Write down all that follows from these."""
    steps = next_steps.of(attempts, now)
    log_rows = PushNotificationLog.objects
    if steps.sent:
        _mark_sent(steps.sent, attempts, token, now)
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
    _learn(attempts, now)
    for provider in steps.wake:
        hints.wake_sender(provider)


def _tell_of_lost_claims(claimed: Sequence[Attempt], written: Sequence[Attempt]) -> None:
    kept = {attempt.row.id for attempt in written}
    for attempt in claimed:
        if attempt.row.id not in kept:
            outcome = attempt.outcome.kind.value if attempt.outcome is not None else "not sent"
            LOST_CLAIMS.labels(attempt.row.provider).inc()
            log.warning("claim lost", extra={**attempt.row.ids, "provider": attempt.row.provider, "outcome": outcome})


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
        if attempt.outcome is not None and not _simply_accepted(attempt)
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
