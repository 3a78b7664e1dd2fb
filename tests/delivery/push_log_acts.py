"""What can happen to messages: each act is one real call into the product, and what it should do to a row."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from django.db import transaction

from delivery import acks, sweeps
from delivery.models import Job, PushNotificationLog
from delivery.models.job import PAUSED_UNTIL
from delivery.models.push_log_rows import Again, Arrived, Failed, Refused, Sent
from tests.delivery.push_log_model import Row

LOG = PushNotificationLog.objects
LEASE = timedelta(seconds=60)
PROVIDERS = ("simulation", "mqtt")
PRIORITIES = (1, 3)
ALL = 1_000
STRANGER = UUID(int=2**100)
"""A token that no worker ever had."""
ARRIVALS = ("delivered", "opened", "clicked")


@dataclass(frozen=True, slots=True)
class Act:
    verbs: Collection[str]
    """As the model's arrows name them."""
    run: Callable[[], set[int] | int | None]
    """What it returns: the ids of the changed rows, how many they are, or nothing."""
    on: Callable[[Row], bool]
    limit: int = ALL
    first_by: str = "id"
    """The column that says who goes first where there are more than `limit`."""
    skips_locked: bool = False
    receipts: Collection[tuple[UUID, str]] = ()
    """What is written down of acks: message and status."""

    def __repr__(self) -> str:
        return f"{'/'.join(self.verbs)}{f' limit {self.limit}' if self.limit < ALL else ''}"


@dataclass(slots=True)
class World:
    """Where the messages are now, as the model has it."""

    now: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    rows: dict[int, Row] = field(default_factory=dict)
    tokens: list[UUID] = field(default_factory=list)
    """Every claim's token, those that have ended too."""
    receipts: set[tuple[UUID, str]] = field(default_factory=set)
    channels: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By device and provider."""
    offsets_ms: Mapping[str, int | None] = field(default_factory=dict)
    """What is added to each device's clock to get ours."""

    def new_token(self) -> UUID:
        self.tokens.append(UUID(int=len(self.tokens) + 1))
        return self.tokens[-1]


def drawn(chance: Random, world: World) -> Act:
    """Any act; mostly one that changes a row, as most find nothing to do."""
    for _ in range(4):
        act = chance.choice(ACTS)(chance, world)
        if any(act.on(copy(row)) for row in world.rows.values()) or chance.random() < 0.5:
            break
    return act


def _some(chance: Random, world: World, fitting: Callable[[Row], bool] = lambda row: False) -> list[int]:
    """Mostly rows that fit the act, so that long ways are walked; else any."""
    fit = sorted(row.id for row in world.rows.values() if fitting(row))
    if fit and chance.random() < 0.75:
        return fit
    return sorted(chance.sample(sorted(world.rows), chance.randint(1, min(4, len(world.rows)))))


def _held_by(chance: Random, world: World, token: UUID) -> list[int]:
    return _some(chance, world, lambda row: row.claim_token == token)


def _line(chance: Random, world: World) -> tuple[str, int]:
    """A provider and priority, as a rule one for which messages wait."""
    waiting = {
        (row.provider, row.priority) for row in world.rows.values() if row.next_attempt_at and not row.claim_token
    }
    return chance.choice([*sorted(waiting), (PROVIDERS[0], PRIORITIES[0])])


def _job(chance: Random, world: World) -> str:
    return chance.choice(sorted({row.job_id for row in world.rows.values()}))


def _token(chance: Random, world: World) -> UUID:
    """Of a claim that still lives, as a rule; else of one that has ended, or of nobody."""
    live = sorted({row.claim_token for row in world.rows.values() if row.claim_token})
    return chance.choice([*live, *live, *world.tokens[-2:], STRANGER])


def _before(chance: Random, world: World) -> datetime:
    return world.now - timedelta(milliseconds=chance.choice([0, 1, 250, 3_000]))


def _again(chance: Random, world: World, row: Row) -> Again:
    """The same channel later, another one at once, or the inbox: as results.py decides."""
    kind = chance.choice(["later", "uncounted", "next", "inbox"])
    if kind == "next":
        provider = PROVIDERS[row.provider == PROVIDERS[0]]
        channel = world.channels[row.device_id, provider]
        return Again(row.id, provider, "default", channel, world.now, 0, row.provider, "gone", "")
    if kind == "inbox" or row.provider == "inbox":
        return Again(row.id, "inbox", "", None, None, 0, row.provider, "gone", "")
    due_at = world.now + timedelta(seconds=chance.choice([0, 2, 600]))
    count = max(0, row.attempt_count - (kind == "uncounted"))
    return Again(row.id, row.provider, row.credential, row.channel_id, due_at, count, "", "503", "busy")


# --- one worker
def claim(chance: Random, world: World) -> Act:
    provider, priority = _line(chance, world)
    limit = chance.choice([1, ALL, ALL])
    now, until, token = world.now, world.now + LEASE, world.new_token()
    return Act(
        ["claim"],
        lambda: {
            row.id for row in LOG.claim(provider, "default", [priority], limit=limit, token=token, now=now, until=until)
        },
        lambda row: row.claim(provider, priority, alone=False, token=token, now=now, until=until),
        limit,
        "next_attempt_at",
        skips_locked=True,
    )


def claim_lost(chance: Random, world: World) -> Act:
    provider, priority = _line(chance, world)
    now, until, token = world.now, world.now + LEASE, world.new_token()
    return Act(
        ["claim"],
        lambda: {row.id for row in LOG.claim_lost(provider, "default", [priority], token=token, now=now, until=until)},
        lambda row: row.claim(provider, priority, alone=True, token=token, now=now, until=until),
        1,
        "next_attempt_at",
        skips_locked=True,
    )


def take(chance: Random, world: World) -> Act:
    ids, token = _some(chance, world), world.new_token()
    now, until = world.now, world.now + LEASE
    return Act(
        ["take"],
        lambda: {
            row.id
            for row in LOG.filter(
                pk__in=ids, channel__isnull=False, expires_at__gt=now, expires_at__lt=PAUSED_UNTIL
            ).take(token=token, until=until)
        },
        lambda row: row.id in ids and row.take(token=token, now=now, until=until),
    )


def give_back(chance: Random, world: World) -> Act:
    due_at, token = world.now, _token(chance, world)
    ids = _held_by(chance, world, token)
    return Act(
        ["give_back"],
        lambda: LOG.give_back(ids, token=token, due_at=due_at),
        lambda row: row.id in ids and row.give_back(token=token, due_at=due_at),
    )


def mark_sent(chance: Random, world: World) -> Act:
    token = _token(chance, world)
    hedge_at = chance.choice([None, world.now + timedelta(seconds=20)])
    sent = {
        i: Sent(i, _before(chance, world), f"p-{i}-{token.int}", f"taken-{token.int}", hedge_at, token.int % 1_000)
        for i in _held_by(chance, world, token)
    }
    return Act(
        ["mark_sent"],
        lambda: LOG.mark_sent(list(sent.values()), token=token),
        lambda row: row.id in sent and row.mark_sent(sent[row.id], token=token),
    )


def mark_due_again(chance: Random, world: World) -> Act:
    token = _token(chance, world)
    again = {i: _again(chance, world, world.rows[i]) for i in _held_by(chance, world, token)}
    return Act(
        ["mark_due_again"],
        lambda: LOG.mark_due_again(list(again.values()), token=token),
        lambda row: row.id in again and row.mark_due_again(again[row.id], token=token),
    )


def mark_still_sent(chance: Random, world: World) -> Act:
    token = _token(chance, world)
    ids = [i for i in _held_by(chance, world, token) if world.rows[i].sent_at]  # all that results.py asks it for
    return Act(
        ["mark_still_sent"],
        lambda: LOG.mark_still_sent(ids, token=token),
        lambda row: row.id in ids and row.mark_still_sent(token=token),
    )


def mark_failed(chance: Random, world: World) -> Act:
    token = _token(chance, world)
    ids = _held_by(chance, world, token)
    return Act(
        ["mark_failed"],
        lambda: LOG.mark_failed([Failed(i, "rejected", "") for i in ids], token=token),
        lambda row: row.id in ids and row.mark_failed(Failed(row.id, "rejected", ""), token=token),
    )


# --- sweeps
def move_waiting(chance: Random, world: World) -> Act:
    seen_at = world.now
    again = {i: _again(chance, world, world.rows[i]) for i in _some(chance, world)}
    return Act(
        ["move_waiting"],
        lambda: LOG.move_waiting(list(again.values()), seen_at=seen_at),
        lambda row: row.id in again and row.move_waiting(again[row.id], seen_at=seen_at),
    )


def hedge(chance: Random, world: World) -> Act:
    again = {}
    for i in _some(chance, world, lambda row: row.hedge_at is not None and row.status == "sent"):
        provider = PROVIDERS[world.rows[i].provider == PROVIDERS[0]]
        channel = world.channels[world.rows[i].device_id, provider]
        again[i] = Again(i, provider, "default", channel, world.now, 0, world.rows[i].provider, "no_ack", "")
    return Act(
        ["hedge"],
        lambda: LOG.hedge(list(again.values())),
        lambda row: row.id in again and row.hedge(again[row.id]),
    )


def unhedge(chance: Random, world: World) -> Act:
    ids = _some(chance, world)
    return Act(["unhedge"], lambda: LOG.unhedge(ids), lambda row: row.id in ids and row.unhedge())


def expire(chance: Random, world: World) -> Act:
    now, limit = world.now, chance.choice([1, ALL, ALL])
    return Act(
        ["expire"],
        lambda: LOG.expire(now, limit=limit),
        lambda row: row.expire(now),
        limit,
        "expires_at",
        skips_locked=True,
    )


def release_lost(chance: Random, world: World) -> Act:
    now, limit = world.now, chance.choice([1, ALL, ALL])
    return Act(
        ["release_lost"],
        lambda: LOG.release_lost(now, limit=limit),
        lambda row: row.release_lost(now),
        limit,
        "claimed_until",
        skips_locked=True,
    )


def settle(chance: Random, world: World) -> Act:
    """Completes jobs; the messages stay as they are."""

    def run() -> None:
        sweeps.settle_jobs()

    return Act(["settle"], run, lambda row: False)


# --- people and devices
def cancel(chance: Random, world: World) -> Act:
    now, job_id = world.now, _job(chance, world)
    return Act(
        ["cancel"],
        lambda: LOG.cancel(job_id, now=now, code="recalled"),
        lambda row: row.cancel(job_id, now=now),
    )


def park(chance: Random, world: World) -> Act:
    now, job_id = world.now, _job(chance, world)
    return Act(["park"], lambda: LOG.park(job_id, now=now), lambda row: row.park(job_id, now=now))


def unpark(chance: Random, world: World) -> Act:
    now, job_id = world.now, _job(chance, world)
    return Act(["unpark"], lambda: LOG.unpark(job_id, now=now), lambda row: row.unpark(job_id, now=now))


def hand_out(chance: Random, world: World) -> Act:
    now, ids = world.now, _some(chance, world)
    device_id = chance.choice([world.rows[i].device_id for i in ids])
    return Act(
        ["hand_out"],
        lambda: LOG.hand_out(device_id, ids, now),
        lambda row: row.id in ids and row.hand_out(device_id, now),
    )


def _told(chance: Random, world: World) -> datetime | None:
    """What the device's clock said: nothing, about now, or something that makes no sense."""
    away_s = chance.choice([None, None, 0, -0.4, -1, -180, 600, -31_536_000])
    return None if away_s is None else world.now + timedelta(seconds=away_s)


def device_has(chance: Random, world: World) -> Act:
    """The statement alone, for the rows that it says it changed."""
    now, told, status = world.now, _told(chance, world), chance.choice(ARRIVALS)
    ids = _some(chance, world)
    owner = {i: chance.choice([world.rows[i].device_id] * 3 + sorted(world.offsets_ms)) for i in ids}
    opened_at, clicked_at = now if status != "delivered" else None, now if status == "clicked" else None

    def run() -> set[int]:
        said = [
            Arrived(world.rows[i].message_id, owner[i], told or now, told is not None, opened_at, clicked_at)
            for i in ids
        ]
        with transaction.atomic():
            changed = LOG.mark_delivered(said, now=now)
            Job.objects.thaw([job_id for _, job_id, recount in changed if recount and job_id])
        told_of = {message_id for message_id, _, _ in changed}
        return {i for i in ids if world.rows[i].message_id in told_of}

    def on(row: Row) -> bool:
        return row.id in ids and row.device_has(owner[row.id], [status], told, world.offsets_ms[row.device_id], now)

    return Act(["device_has"], run, on)


def ack(chance: Random, world: World) -> Act:
    """A batch as it comes over the wire: several of one message, replays, other devices' messages, unknown ids."""
    said: list[tuple[int, str, str, datetime | None]] = [
        (i, chance.choice([world.rows[i].device_id] * 4 + sorted(world.offsets_ms)), status, told)
        for i in _some(chance, world)
        for status, told in [
            (chance.choice([*ARRIVALS, "failed", "unknown"]), _told(chance, world)) for _ in range(chance.randint(1, 2))
        ]
    ]
    now = world.now
    batch = [
        acks.ProvenAck(acks.Ack(message_id=str(world.rows[i].message_id), status=status, received_at=told), device_id)
        for i, device_id, status, told in said
    ]
    unknown = acks.ProvenAck(acks.Ack(message_id=str(STRANGER)), batch[0].device_id)

    def on(row: Row) -> bool:
        mine = [(status, told) for i, device_id, status, told in said if (i, device_id) == (row.id, row.device_id)]
        if not mine or row.status == "skipped":
            return False
        arrived = [(status, told) for status, told in mine if status in ARRIVALS]
        told = next((told for _, told in arrived if told), None)
        has = bool(arrived) and row.device_has(
            row.device_id, [status for status, _ in arrived], told, world.offsets_ms[row.device_id], now
        )
        failed = any(status == "failed" for status, _ in mine)
        refused = Refused(row.message_id, row.device_id, "device_failed", "")
        return (failed and row.device_refuses(refused, now)) or has

    receipts = {
        (world.rows[i].message_id, status)
        for i, device_id, status, _ in said
        if device_id == world.rows[i].device_id and world.rows[i].status != "skipped"
    }
    return Act(["device_has", "device_refuses"], lambda: acks.record([*batch, unknown]), on, receipts=receipts)


ENDS = (cancel, device_has, ack, hand_out, park, settle, expire, unhedge, move_waiting)
GOES_ON = (claim_lost, take, give_back, mark_due_again, mark_still_sent, mark_failed, unpark, release_lost)
ACTS: Sequence[Callable[[Random, World], Act]] = (
    *ENDS,
    *GOES_ON * 2,
    *(mark_sent, hedge, claim_lost, mark_still_sent) * 4,
    *[claim] * 6,
)
"""As often as it takes for messages to come far before they end."""
