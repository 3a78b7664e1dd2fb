"""Step 3: claim due rows, send them, write down what each attempt led to.

The claim is committed before any network call, and every result is written under the claim's token: a worker that died,
slept too long or was overtaken by the device's ack changes nothing that is no longer its own.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings

from delivery import ack_tokens, clocks, crash_points, credentials, event_loop, gate, guard, hints, results
from delivery.models import Channel, Job, PushNotificationLog
from delivery.models.channel import ChannelState
from delivery.models.push_log_rows import Claimed
from delivery.outcomes import Outcome, OutcomeKind, no_answer
from delivery.priority import Priority
from delivery.providers.base import ConfigError, Message, Provider
from delivery.results import Attempt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one credential that this process holds."""

    rows: Sequence[Claimed]
    token: UUID
    claimed_at: datetime
    claimed_mono: float


def send_batch(provider: str) -> int:
    """Send what is most urgent on this provider, up to one batch; how many rows were claimed."""
    most = int(settings.SEND_BATCH)
    sent = _send(provider, _claim_most_urgent, most)
    if sent >= most or (sent and len(credentials.usable().get(provider, {})) > 1):
        hints.wake_sender(provider)
    return sent


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
    rows: list[Claimed] = []
    for priority in Priority:
        if len(rows) < limit:
            rows += PushNotificationLog.objects.claim(
                name, credential, priority, limit=limit - len(rows), token=token, now=now, until=_lease_end(now)
            )
    return rows


def _claim_lost(name: str, credential: str, limit: int, token: UUID, now: datetime) -> list[Claimed]:
    for priority in Priority:
        rows = PushNotificationLog.objects.claim_lost(
            name, credential, priority, token=token, now=now, until=_lease_end(now)
        )
        if rows:
            return rows
    return []


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LEASE_S)


def _run(provider: Provider, batch: Batch) -> None:
    """Send the batch on the event loop; write results per 100, at the latest 200 ms after the first.

    No send starts once the gate has closed: what is left is given back.
    """
    came: SimpleQueue[Attempt | None] = SimpleQueue()
    drafts = _drafts(batch)
    closed = Event()
    future = event_loop.submit(_send_all(provider, drafts, batch, came, closed))
    try:
        ended = False
        while not ended:
            attempts, ended = _collect(came)
            results.write(attempts, batch.token)
            _tell(attempts)
            if _any_failed(attempts) and gate.is_closed(provider.name, batch.rows[0].credential):
                closed.set()
        future.result(timeout=1.0)
    finally:
        future.cancel()


def _any_failed(attempts: Sequence[Attempt]) -> bool:
    return any(each.outcome is not None and each.outcome.kind is not OutcomeKind.ACCEPTED for each in attempts)


def _collect(came: "SimpleQueue[Attempt | None]") -> tuple[list[Attempt], bool]:
    """What came in: waits for the first, then for more until there are enough or the first has waited long enough."""
    item = came.get()
    if item is None:
        return [], True
    attempts = [item]
    deadline = time.monotonic() + settings.RESULT_WAIT_S
    while len(attempts) < settings.RESULT_BATCH:
        try:
            item = came.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return attempts, False
        if item is None:
            return attempts, True
        attempts.append(item)
    return attempts, False


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


@dataclass(frozen=True, slots=True)
class Draft:
    """A claimed row with what its message needs, except the moment at which it is sent."""

    row: Claimed
    address: str
    environment: str
    usable: bool
    content: Mapping[str, Any]
    collapse_key: str


def _drafts(batch: Batch) -> list[Draft]:
    used = Channel.objects.select_related("device").only("address", "environment", "state", "device__device_id")
    channels = used.in_bulk({row.channel_id for row in batch.rows})
    jobs = {
        job.job_id: job
        for job in Job.objects.filter(job_id__in={row.job_id for row in batch.rows}).only(
            "job_id", "payload", "collapse_key"
        )
    }
    return [
        Draft(
            row=row,
            address=channels[row.channel_id].address,
            environment=channels[row.channel_id].environment,
            usable=_carries(channels[row.channel_id], row),
            content=jobs[row.job_id].payload,
            collapse_key=jobs[row.job_id].collapse_key,
        )
        for row in batch.rows
    ]


def _carries(channel: Channel, row: Claimed) -> bool:
    """Not a closed channel, nor one whose address has moved to another device since."""
    return channel.state == ChannelState.ACTIVE and channel.device.device_id == row.device_id


def _message(draft: Draft, sent_at: datetime) -> Message:
    row = draft.row
    message_id = str(row.message_id)
    return Message(
        message_id=message_id,
        device_id=row.device_id,
        address=draft.address,
        content=draft.content,
        priority=Priority(row.priority),
        sent_at=sent_at,
        ttl_s=max(1, int((row.expires_at - sent_at).total_seconds())),
        ack_token=ack_tokens.sign(message_id, row.device_id, settings.ACK_KEYS),
        ack_url=f"{settings.PUBLIC_URL}/api/v1/push/ack",
        collapse_key=draft.collapse_key,
        environment=draft.environment,
    )


async def _send_all(
    provider: Provider, drafts: Sequence[Draft], batch: Batch, came: "SimpleQueue[Attempt | None]", closed: Event
) -> None:
    """Keep up to a window of sends in flight, fewer until the first is accepted; each result goes to `came`, and None
    after the last. No send starts that could end after the batch's budget."""
    waiting = deque(drafts)
    caution = guard.Caution(provider)
    last_start = batch.claimed_mono + settings.BATCH_BUDGET_S - settings.SEND_DEADLINE_S

    async def sender(number: int) -> None:
        await caution.turn(number)
        while waiting:
            draft = waiting.popleft()
            started = time.monotonic()
            sent_at = batch.claimed_at + timedelta(seconds=started - batch.claimed_mono)
            too_late = started > last_start or draft.row.expires_at <= sent_at
            if not draft.usable or caution.stops or closed.is_set() or too_late:
                came.put(Attempt(draft.row, None, sent_at, 0, channel_usable=draft.usable))
                continue
            outcome = await _try_once(provider, draft, sent_at)
            crash_points.passing("after_answer")
            caution.note(outcome)
            came.put(Attempt(draft.row, outcome, sent_at, round((time.monotonic() - started) * 1000)))
        caution.nothing_left()

    try:
        await asyncio.gather(*(sender(number) for number in range(min(settings.SEND_WINDOW, len(drafts)))))
    finally:
        came.put(None)


async def _try_once(provider: Provider, draft: Draft, sent_at: datetime) -> Outcome:
    try:
        return await asyncio.wait_for(provider.send_one(_message(draft, sent_at)), settings.SEND_DEADLINE_S)
    except TimeoutError:
        return no_answer("the provider did not answer in time")
    except Exception:
        log.exception(
            "a provider raised instead of returning an outcome",
            extra={"provider": provider.name, **draft.row.ids},
        )
        return Outcome(kind=OutcomeKind.RETRY, code="provider_bug")
