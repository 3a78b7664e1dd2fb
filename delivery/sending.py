"""Step 3: claim due rows, send them, write down what each attempt led to.

The claim is committed before any network call, and every result is written under the claim's token: a worker that died,
slept too long or was overtaken by the device's ack changes nothing that is no longer its own.
"""

import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from queue import SimpleQueue
from threading import Event
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings

from delivery import clocks, crash_points, credentials, event_loop, gate, hints, in_flight, results, stopping
from delivery.in_flight import Attempt, Batch, Came, Draft
from delivery.models import Channel, Job, PushNotificationLog, setwise
from delivery.models.channel import Carrier
from delivery.models.job import JobStatus
from delivery.models.push_log_rows import Claimed
from delivery.outcomes import OutcomeKind
from delivery.priority import Priority
from delivery.providers import clock
from delivery.providers.base import ConfigError, Provider

log = logging.getLogger(__name__)


TURN_S = 0.5
"""A task goes on for so long, and each batch takes what is most urgent then. On SQLite, where one can write at a time,
a task is one batch."""


def send_batch(provider: str) -> int:
    """Send what is most urgent on this provider, a batch or some after each other; how many rows were claimed."""
    over_at = time.monotonic() + _turn_s()
    most = int(settings.SEND_BATCH)
    total = 0
    while sent := _send(provider, _claim_most_urgent, most):
        total += sent
        if sent < most and len(credentials.usable().get(provider, {})) < 2:
            break
        if time.monotonic() >= over_at or stopping.told():
            hints.wake_sender(provider)
            break
    return total


def _turn_s() -> float:
    """A last batch that begins then is over within the task's limit."""
    if not setwise.many_write():
        return 0.0
    return min(TURN_S, (settings.TASK_LIMIT_S - settings.BATCH_BUDGET_S) / 2)


def send_alone(provider: str) -> int:
    """Send one row whose last holder died, with no other row at risk; then wake a worker for the next such row."""
    sent = _send(provider, _claim_lost, 1)
    if sent:
        hints.wake_sender_alone(provider)
    return sent


def _send(name: str, claim: Any, most: int) -> int:
    """One task is one batch of one credential, so that its budget lies inside the task's limit."""
    configs = credentials.usable().get(name, {})
    for credential in _by_urgency(name, list(configs)):
        config = configs[credential]
        now, mono = clocks.db_now(), time.monotonic()
        clock.set_to(now)
        may = gate.leave(name, credential, most, now, own_limit(config))
        if not may.count:
            continue
        try:
            provider = event_loop.provider_for(name, credential, config)
        except ConfigError as error:  # its key file broke before this process ever used it: the rows wait
            log.error("credential not usable", extra={"provider": name, "credential": credential, "why": str(error)})
            continue
        token = uuid4()
        rows = claim(name, credential, may.count, token, now)
        if rows:
            crash_points.passing("after_claim")
            _run(provider, Batch(rows, token, now, mono))
            return len(rows)
    return 0


def _by_urgency(name: str, names: list[str]) -> list[str]:
    """The provider's credentials, that with the most urgent due row first; of equals another one each time."""
    if len(names) < 2:
        return names
    due = PushNotificationLog.objects.due(clocks.db_now()).filter(provider=name).order_by("priority")
    most_urgent = {each: due.filter(credential=each).values_list("priority", flat=True).first() for each in names}
    nothing_due = max(Priority) + 1
    random.shuffle(names)
    return sorted(names, key=lambda each: nothing_due if (found := most_urgent[each]) is None else found)


def own_limit(config: Mapping[str, Any]) -> float | None:
    """The credential's own limit in messages a second, where its settings name one."""
    return float(config["rate_per_s"]) if config.get("rate_per_s") else None


def _claim_most_urgent(name: str, credential: str, limit: int, token: UUID, now: datetime) -> list[Claimed]:
    return PushNotificationLog.objects.claim(
        name, credential, tuple(Priority), limit=limit, token=token, now=now, until=_lease_end(now)
    )


def _claim_lost(name: str, credential: str, limit: int, token: UUID, now: datetime) -> list[Claimed]:
    return PushNotificationLog.objects.claim_lost(
        name, credential, tuple(Priority), token=token, now=now, until=_lease_end(now)
    )


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_S)


def _run(provider: Provider, batch: Batch) -> None:
    """Send the batch on the event loop; write results per 100, at the latest 200 ms after the first.

    No send starts once the gate has closed or this worker is told to end: what is left is given back.
    """
    came: Came = SimpleQueue()
    drafts = _drafts(batch)
    closed = Event()
    future = event_loop.submit(in_flight.send_all(provider, drafts, batch, came, closed))
    try:
        while (attempts := came.get()) is not None:
            _tell(results.write(attempts, batch.token, batch.now()))
            if _any_failed(attempts) and gate.is_closed(provider.name, batch.rows[0].credential):
                closed.set()
        future.result(timeout=1.0)
    finally:
        future.cancel()
    results.end(batch.token)


def _any_failed(attempts: Sequence[Attempt]) -> bool:
    return any(each.outcome is not None and each.outcome.kind is not OutcomeKind.ACCEPTED for each in attempts)


def _tell(attempts: Sequence[Attempt]) -> None:
    """A line for each attempt, once it is committed."""
    for attempt in attempts:
        if attempt.outcome is not None:
            log.info(
                "attempt",
                extra={
                    **attempt.row.ids,
                    "provider": attempt.row.provider,
                    "outcome": attempt.outcome.kind.value,
                    "code": attempt.outcome.code,
                    "took_ms": attempt.took_ms,
                },
            )


def _drafts(batch: Batch) -> list[Draft]:
    channels = Channel.objects.carriers({row.channel_id for row in batch.rows})
    found = Job.objects.contents({row.job_id for row in batch.rows})
    return [_draft(row, channels[row.channel_id], *found[row.job_id]) for row in batch.rows]


def _draft(row: Claimed, channel: Carrier, content: Mapping[str, Any], collapse_key: str, status: str) -> Draft:
    held_back = status in (JobStatus.PAUSED, JobStatus.CANCELLED)
    return Draft(row, channel, content, collapse_key, held_back)
