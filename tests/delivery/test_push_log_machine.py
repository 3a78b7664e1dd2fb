"""Any verbs in any order, by workers, devices and sweeps, also at once: only what the state diagram allows happens."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import fields
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from delivery import clocks, jobs
from delivery.models import Channel, Job, PushNotificationLog, Receipt
from delivery.models.job import PAUSED_UNTIL
from delivery.models.keys import new_message_id
from delivery.models.push_log_rows import NewRow
from delivery.priority import Priority
from tests.delivery.push_log_acts import LOG, PRIORITIES, PROVIDERS, Act, World, drawn
from tests.delivery.push_log_model import ARROWS, Row
from tests.delivery.rows import a_channel, a_device, a_job

pytestmark = pytest.mark.django_db(transaction=True)

ON_SQLITE = connection.vendor == "sqlite"
T = TypeVar("T")
COLUMNS = [column.name for column in fields(Row)]
OFFSETS_MS = {"till-0": None, "till-1": 180_000, "till-2": -31_536_000_000}
JOB_ARROWS = {("queued", "running"), ("running", "completed")}
NEVER_DUE = PAUSED_UNTIL - timedelta(days=1)
SEED = st.integers(0, 2**32 - 1)
ONCE = ("received_at", "acked_at", "expired_at", "opened_at", "clicked_at", "sent_at")
"""What is never changed again once it is known."""


class Side:
    """A thread with a connection of its own, whose transaction can be held open."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.start = self._thread.submit

    def begin(self, act: Callable[[], T]) -> T:
        def held() -> T:
            self._block = transaction.atomic()
            self._block.__enter__()
            try:
                return act()
            except BaseException as error:
                self._block.__exit__(type(error), error, None)
                raise

        return self.start(held).result(30)

    def end(self, *, commit: bool) -> None:
        def release() -> None:
            transaction.set_rollback(not commit)
            self._block.__exit__(None, None, None)

        self.start(release).result(30)

    def close(self) -> None:
        self.start(lambda: connection.close()).result(30)
        self._thread.shutdown()


class Messages(RuleBasedStateMachine):
    """Three devices with two channels each, some jobs. Time is ours: every statement is told it."""

    one: Side
    other: Side
    present: World
    """Whose time it is now."""

    def __init__(self) -> None:
        super().__init__()
        for model in (Receipt, PushNotificationLog, Job):
            model.objects.all().delete()
        ways = Channel.objects.values_list("device__device_id", "provider", "pk")
        self.world = World(
            channels={(device_id, provider): pk for device_id, provider, pk in ways}, offsets_ms=OFFSETS_MS
        )
        self.jobs: dict[str, str] = {}
        self.steps = 0
        type(self).present = self.world

    def dice(self, seed: int) -> Random:
        """Other dice for each step, as hypothesis likes to give the same small seeds again."""
        self.steps += 1
        return Random(f"{self.steps} {seed}")

    # --- birth
    @initialize(seed=SEED)
    def first_order(self, seed: int) -> None:
        self.order(seed)

    @precondition(lambda self: len(self.jobs) < 5)
    @rule(seed=SEED)
    def order(self, seed: int) -> None:
        chance = self.dice(seed)
        ttl_s, priority = chance.choice([20, 60, 3_600]), chance.choice(PRIORITIES)
        job_id = f"job-{len(self.jobs)}"
        job = a_job(job_id=job_id, now=self.world.now, ttl_s=ttl_s, priority=Priority(priority))
        self.jobs[job.job_id] = job.status
        self.write(chance, job)
        self.check()

    @precondition(lambda self: "queued" in self.jobs.values())
    @rule(seed=SEED)
    def fan_out(self, seed: int) -> None:
        """Again for devices that may have their rows already; then the job has them all."""
        chance = self.dice(seed)
        job = Job.objects.get(job_id=chance.choice([k for k, v in self.jobs.items() if v == "queued"]))
        self.write(chance, job)
        assert Job.objects.finish_fan_out(job.job_id, self.world.now) == 1
        assert Job.objects.finish_fan_out(job.job_id, self.world.now) == 0
        self.check()

    def write(self, chance: Random, job: Job) -> None:
        new = []
        for device_id in chance.sample(sorted(OFFSETS_MS), chance.randint(1, 3)):
            way = chance.choice([*PROVIDERS, *PROVIDERS, "inbox", "skipped"])
            provider, skipped = ("inbox", "no_channel") if way == "skipped" else (way, "")
            channel = self.world.channels.get((device_id, provider))
            credential = "" if provider == "inbox" else "default"
            new.append(NewRow(new_message_id(), device_id, None, provider, credential, channel, "", skipped))
        there = {row.device_id for row in self.world.rows.values() if row.job_id == job.job_id}
        expires_at = job.created_at + timedelta(seconds=job.ttl_s)

        written = LOG.insert_rows(
            new, job_id=job.job_id, priority=job.priority, created_at=job.created_at, expires_at=expires_at
        )

        assert written == len([row for row in new if row.device_id not in there])
        for row_id, row in stored().items():
            if row_id not in self.world.rows:
                assert row.status == ("skipped" if row.error_code else "pending")
                assert (row.next_attempt_at is None) == (row.provider == "inbox")
                assert row.attempt_count == 0
                self.world.rows[row_id] = row

    # --- life
    @rule(seed=SEED)
    def some_acts(self, seed: int) -> None:
        chance = self.dice(seed)
        if sum(row.open for row in self.world.rows.values()) < 2:
            self.order(seed)
        for _ in range(10):
            if chance.random() < 0.2:
                self.world.now += timedelta(seconds=chance.choice([0.001, 3, 20, 31, 61]))
            self.one_act(chance)
        self.check()

    def one_act(self, chance: Random) -> None:
        act, before = drawn(chance, self.world), self.world.rows
        note(f"at {self.world.now:%T.%f}: {act}")
        expected, could = moved(act, before)

        result = act.run()

        after = stored()
        changed = could if len(could) <= act.limit else {i for i in could if after[i] != before[i]}
        assert len(changed) == min(len(could), act.limit)
        assert in_turn(before, changed, could - changed, act.first_by)
        assert result is None or result in (len(changed), changed)
        assert differences(after, {i: expected[i] if i in changed else before[i] for i in before}) == {}
        for row_id in before:
            assert_allowed(before[row_id], after[row_id], act)
        self.go_on(after, act)

    @rule(commit=st.booleans(), seed=SEED)
    def two_at_once(self, commit: bool, seed: int) -> None:
        """The second comes while the first is not committed: it waits for it, or passes over what it holds."""
        chance = self.dice(seed)
        first, before = drawn(chance, self.world), self.world.rows
        by_first, touched = moved(first, before)
        for _ in range(8):  # mostly one that wants the same rows
            second = drawn(chance, self.world)
            if touched & moved(second, before)[1]:
                break
        note(f"at {self.world.now:%T.%f}: {first} {'committed' if commit else 'rolled back'} while comes {second}")
        base = by_first if commit else before
        by_both, both_changed = moved(second, base)
        seen_before = moved(second, before)[1]
        if len(touched) > first.limit or max(len(both_changed), len(seen_before)) > second.limit:
            return

        result_of_first = self.one.begin(first.run)
        coming = self.other.start(second.run)
        waited = comes_to_wait(coming)
        self.one.end(commit=commit)
        result = coming.result(30)
        assert result_of_first is None or result_of_first in (len(touched), touched)
        assert not (waited and second.skips_locked) or ON_SQLITE

        after, least, most = stored(), 0, 0
        for row_id, row in after.items():
            ends = [(by_both[row_id], row_id in both_changed)]
            if row_id in touched and (second.skips_locked or row_id not in seen_before):
                ends.append((base[row_id], False))
            fits = [changed for end, changed in ends if end == row]
            assert fits, [differences({row_id: row}, {row_id: end}) for end, _ in ends]
            least, most = least + min(fits), most + max(fits)
        assert result is None or least <= (result if isinstance(result, int) else len(result)) <= most
        self.go_on(after, second, *[first] if commit else [])
        self.check()

    def go_on(self, rows: dict[int, Row], *acts: Act) -> None:
        self.world.rows = rows
        for act in acts:
            self.world.receipts.update(act.receipts)
            assert "settle" not in act.verbs or len(acts) > 1 or not ended_but_open()

    # --- what always holds
    def check(self) -> None:
        for row in self.world.rows.values():
            assert_sound(row)
        assert set(Receipt.objects.values_list("push__message_id", "status")) == self.world.receipts
        for job in Job.objects.all():
            counts = jobs.count(job.job_id)
            mine = [row for row in self.world.rows.values() if row.job_id == job.job_id]
            assert counts["targeted"] == len(mine) == sum(counts[part] for part in jobs.PARTS)
            assert counts["late"] == sum(row.status == "delivered" and row.expired_at is not None for row in mine)
            if job.frozen_progress is not None:
                assert job.frozen_progress == counts
                assert not any(row.open for row in mine)
            missed = set(LOG.missed(job.job_id).values_list("pk", flat=True))
            assert missed == {row.id for row in mine if row.status in ("failed", "expired")}
            was = self.jobs[job.job_id]
            assert was == job.status or (was, job.status) in JOB_ARROWS
            assert (job.completed_at is not None) == (job.status == "completed")
            self.jobs[job.job_id] = job.status


def comes_to_wait(coming: "Future[Any]") -> bool:
    """Whether it waits for the other connection's commit. On SQLite all that writes does, and needs no looking at."""
    while not (ON_SQLITE or coming.done()):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return True
    return ON_SQLITE


def moved(act: Act, rows: dict[int, Row]) -> tuple[dict[int, Row], set[int]]:
    """Where the act should lead, and which rows it changes."""
    then = {row_id: copy(row) for row_id, row in rows.items()}
    return then, {row_id for row_id, row in then.items() if act.on(row)}


def differences(found: dict[int, Row], wanted: dict[int, Row]) -> dict[int, dict[str, str]]:
    """By row and column."""
    return {
        row_id: {
            name: f"is {getattr(row, name)}, should be {getattr(wanted[row_id], name)}"
            for name in COLUMNS
            if getattr(row, name) != getattr(wanted[row_id], name)
        }
        for row_id, row in found.items()
        if row != wanted[row_id]
    }


def in_turn(rows: dict[int, Row], chosen: set[int], left: set[int], column: str) -> bool:
    """Nobody was left behind who had waited longer."""
    return not left or max(getattr(rows[i], column) for i in chosen) <= min(getattr(rows[i], column) for i in left)


def assert_allowed(before: Row, after: Row, act: Act) -> None:
    """The diagram's own word, whatever the model says."""
    if before.status != after.status:
        assert not set(ARROWS.get((before.status, after.status), ())).isdisjoint(act.verbs), (before, after, act)
    assert before.taken_by in (None, after.taken_by), (before, after, act)
    for column in ONCE:
        was = getattr(before, column)
        assert was is None or getattr(after, column) == was, (column, before, after, act)


def assert_sound(row: Row) -> None:
    """What a row may look like at any moment."""
    assert (row.claim_token is None) == (row.claimed_until is None)
    assert row.status == "pending" or row.next_attempt_at is None
    assert row.status != "sent" or row.claim_token is None
    assert row.status != "pending" or row.provider == "inbox" or row.next_attempt_at is not None, "never due again"
    assert row.provider != "inbox" or row.next_attempt_at is None or row.paused, "no worker takes it"
    assert row.hedge_at is None or row.status != "pending"
    assert row.latency_ms is None or (row.latency_ms >= 0 and not row.clock_skewed)
    assert (row.received_at is not None) == (row.status == "delivered")
    assert row.status != "expired" or row.expired_at is not None
    assert row.lost_claims <= 3
    assert row.attempt_count >= 0
    assert row.accepted_by == "" or row.sent_at is not None
    if row.paused:
        assert row.claim_token is None
        assert row.next_attempt_at is None or row.next_attempt_at > NEVER_DUE


def stored() -> dict[int, Row]:
    return {values[0]: Row(*values) for values in PushNotificationLog.objects.order_by("pk").values_list(*COLUMNS)}


def ended_but_open() -> bool:
    """A job whose messages have all ended and whose count is not final."""
    unsettled = Job.objects.exclude(fanned_out_at=None).filter(frozen_progress__isnull=True)
    return any(not PushNotificationLog.objects.open().filter(job=job).exists() for job in unsettled)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING, "delivery")
    for device_id, offset_ms in OFFSETS_MS.items():
        device = a_device(device_id, clock_offset_ms=offset_ms)
        for rank, provider in enumerate(PROVIDERS):
            a_channel(device, provider, rank)
    monkeypatch.setattr(clocks, "db_now", lambda: Messages.present.now)
    Messages.one, Messages.other = Side(), Side()
    yield
    Messages.one.close()
    Messages.other.close()


@pytest.mark.timeout(3_600)
def test_messages_only_ever_go_where_the_diagram_allows(fleet: None) -> None:
    quick = settings(max_examples=settings().max_examples // 4, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Messages, settings=quick)
