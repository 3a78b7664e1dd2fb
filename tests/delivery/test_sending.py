"""A worker's batch: claim, send through a real provider on the process's own loop, write down what came."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from redis import Redis

from delivery import acks, clocks, event_loop, gate, guard, inbox, next_steps, results, sending, stopping, sweeps
from delivery.in_flight import Attempt
from delivery.models import Alert, Channel, DeliveryAttempt, Job, ProviderState, PushNotificationLog
from delivery.outcomes import Outcome, OutcomeKind, accepted
from delivery.priority import Priority
from delivery.providers import BUILT_IN
from delivery.providers.base import Message, Provider
from tests.delivery.rows import a_channel, a_device, claim, end_leases, messages

pytestmark = pytest.mark.django_db(transaction=True)


class Scripted(Provider):
    """Answers what the test says, and notes what it was given. It stands where no real service can be told to."""

    name: ClassVar[str] = "simulation"
    max_payload_bytes: ClassVar[int] = 4096
    answers: ClassVar[list[Any]] = []
    got: ClassVar[list[Message]] = []
    takes_s: ClassVar[float] = 0.0

    @classmethod
    def from_config(cls, config: Any) -> "Scripted":
        return cls()

    async def send_one(self, message: Message) -> Outcome:
        self.got.append(message)
        await asyncio.sleep(self.takes_s)
        answer = self.answers.pop(0) if self.answers else accepted("p")
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Outcome)
        return answer


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Scripted]]:
    monkeypatch.setitem(BUILT_IN, "simulation", Scripted)
    Scripted.answers, Scripted.got, Scripted.takes_s = [], [], 0.0
    event_loop.close()
    yield Scripted
    event_loop.close()


@pytest.fixture(autouse=True)
def nothing_learnt(broker: Redis) -> None:
    """What a process knows of its credentials would outlive the rows of a test."""
    next_steps._budgets.clear()
    gate._windows.clear()
    gate._seen.clear()


@pytest.fixture
def simulation(settings: LazySettings) -> Iterator[None]:
    settings.PROVIDERS = {
        "simulation": {"default": {"profile": "ideal", "ack_rate": 0, "seed": 7}},
        "mqtt": settings.PROVIDERS["mqtt"],
    }
    event_loop.close()
    yield
    event_loop.close()


def channel_of(row: PushNotificationLog) -> Channel:
    assert row.channel_id is not None
    return Channel.objects.get(pk=row.channel_id)


def frozen(job: Job) -> dict[str, int]:
    assert job.frozen_progress is not None
    return dict(job.frozen_progress)


def outcome(kind: OutcomeKind, code: str = "x", retry_after_s: float | None = None) -> Outcome:
    return Outcome(kind=kind, code=code, retry_after_s=retry_after_s)


def test_a_batch_through_the_simulation_is_sent(simulation: None) -> None:
    messages(30)

    assert sending.send_batch("simulation") == 30

    rows = list(PushNotificationLog.objects.all())
    assert {row.status for row in rows} == {"sent"}
    assert all(row.sent_at and row.provider_message_id and row.claim_token is None for row in rows)
    assert Channel.objects.filter(last_used_at=None).count() == 0


def test_the_device_gets_what_the_wire_contract_says(scripted: type[Scripted]) -> None:
    [row] = messages()

    sending.send_batch("simulation")

    [message] = scripted.got
    row.refresh_from_db()
    assert (message.message_id, message.device_id, message.sent_at) == (str(row.message_id), row.device_id, row.sent_at)
    assert message.ack_url.endswith("/api/v1/push/ack")
    assert message.content["title"] == "Hello"
    assert 295 <= message.ttl_s <= 300


def test_nothing_is_claimed_twice_and_a_second_hint_finds_nothing(scripted: type[Scripted]) -> None:
    messages(3)

    assert sending.send_batch("simulation") == 3
    assert sending.send_batch("simulation") == 0
    assert len(scripted.got) == 3


@pytest.fixture
def short_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is one batch."""
    monkeypatch.setattr(sending, "TURN_S", 0.0)


def test_a_critical_message_overtakes_what_was_ordered_before(
    scripted: type[Scripted], settings: LazySettings, broker: Redis, short_turn: None
) -> None:
    settings.SEND_BATCH = 5
    messages(20, priority=Priority.LOW)
    [urgent] = messages(1, priority=Priority.CRITICAL, prefix="urgent")

    sending.send_batch("simulation")

    assert scripted.got[0].message_id == str(urgent.message_id)
    assert len(scripted.got) == 5
    assert broker.llen("push.simulation") == 1, "a full batch asks for the next one"


def of_credential(name: str, rows: list[PushNotificationLog]) -> None:
    PushNotificationLog.objects.filter(pk__in=[row.pk for row in rows]).update(credential=name)


@pytest.fixture
def two_credentials(scripted: type[Scripted], settings: LazySettings) -> None:
    settings.PROVIDERS = {"simulation": {"default": {}, "other": {}}}


def test_a_critical_message_overtakes_the_backlog_of_another_credential(
    scripted: type[Scripted], two_credentials: None, settings: LazySettings
) -> None:
    settings.SEND_BATCH = 5
    messages(20, priority=Priority.LOW)
    urgent = messages(1, priority=Priority.CRITICAL, prefix="urgent")
    of_credential("other", urgent)

    sending.send_batch("simulation")

    assert scripted.got[0].message_id == str(urgent[0].message_id)


@pytest.mark.postgres_only
def test_a_task_goes_on_with_the_next_batch_for_its_turn(
    scripted: type[Scripted], settings: LazySettings, broker: Redis
) -> None:
    settings.SEND_BATCH = 5
    messages(12, priority=Priority.LOW)
    broker.flushdb()

    assert sending.send_batch("simulation") == 12
    assert broker.llen("push.simulation") == 0, "nothing is left to wake anybody for"


def test_a_batch_is_of_one_credential_so_that_its_budget_is_inside_the_task_limit(
    scripted: type[Scripted], two_credentials: None, broker: Redis, short_turn: None
) -> None:
    messages(3)
    of_credential("other", messages(3, prefix="other"))
    broker.flushdb()

    assert sending.send_batch("simulation") == 3
    assert broker.llen("push.simulation") == 1, "the other credential's rows do not wait for the sweep"
    assert sending.send_batch("simulation") == 3


def test_a_retry_waits_for_its_time_and_tells_why(scripted: type[Scripted]) -> None:
    [row] = messages()
    scripted.answers = [outcome(OutcomeKind.RETRY, "503", retry_after_s=40)]
    before = clocks.db_now()

    sending.send_batch("simulation")

    row.refresh_from_db()
    [attempt] = DeliveryAttempt.objects.all()
    assert (row.status, row.attempt_count, row.error_code) == ("pending", 1, "503")
    assert row.next_attempt_at is not None
    assert row.next_attempt_at >= before + timedelta(seconds=40)
    assert (attempt.push_id, attempt.outcome, attempt.code) == (row.pk, "retry", "503")
    assert sending.send_batch("simulation") == 0


def fail_all(
    count: int, ttl_s: int, provider: str = "simulation", least_wait_s: float = 0.0
) -> list[PushNotificationLog]:
    """Messages whose first attempt fails, without a breaker between them."""
    rows = messages(count, ttl_s=ttl_s, provider=provider)
    wanted = {row.pk for row in rows}
    token = uuid4()
    taken = [row for row in claim(token, limit=1000, provider=provider) if row.id in wanted]
    said = replace(outcome(OutcomeKind.RETRY, "503"), least_wait_s=least_wait_s)
    failed = [Attempt(row, said, clocks.db_now(), 3) for row in taken]
    results.write(failed, token)
    return rows


def waits_s(row: PushNotificationLog) -> float:
    row.refresh_from_db()
    assert row.next_attempt_at is not None
    return (row.next_attempt_at - clocks.db_now()).total_seconds()


def test_repeats_that_there_is_no_time_for_put_no_later_one_off() -> None:
    fail_all(200, ttl_s=60)

    [row] = fail_all(1, ttl_s=300)

    assert waits_s(row) < 65


def test_repeats_are_paced_where_the_provider_has_a_shortest_wait() -> None:
    rows = fail_all(60, ttl_s=300, least_wait_s=10)

    waits = sorted(waits_s(row) for row in rows)

    assert waits[0] > 9
    assert waits[-1] > 40


def test_the_repeats_of_one_credential_put_none_of_another_off() -> None:
    fail_all(200, ttl_s=300, provider="mqtt")

    [row] = fail_all(1, ttl_s=300)

    assert waits_s(row) < 3


@pytest.mark.parametrize("kind", [OutcomeKind.ADDRESS_GONE, OutcomeKind.REJECTED])
def test_a_channel_that_cannot_carry_it_hands_over_to_the_next(
    scripted: type[Scripted], kind: OutcomeKind, broker: Redis
) -> None:
    [row] = messages()
    second = a_channel(row.device, "mqtt", 1)
    scripted.answers = [outcome(kind, "NotRegistered")]

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.provider, row.channel_id, row.status) == ("mqtt", second.pk, "pending")
    assert (row.fallback_from, row.attempt_count) == ("simulation", 0)
    assert broker.llen("push.mqtt") == 1


def test_an_address_that_moved_to_another_device_gets_nothing_of_the_first(scripted: type[Scripted]) -> None:
    [row] = messages()
    Channel.objects.filter(pk=channel_of(row).pk).update(device=a_device("somebody-else"))

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert scripted.got == []
    assert (row.provider, row.status, row.error_code) == ("inbox", "pending", "channel_closed")


def test_a_write_asks_as_much_for_many_rejected_messages_as_for_one() -> None:
    def queries(count: int) -> int:
        messages(count)
        taken = claim(token := uuid4())
        rejected = [Attempt(row, outcome(OutcomeKind.REJECTED), clocks.db_now(), 3) for row in taken]
        with CaptureQueriesContext(connection) as asked:
            results.write(rejected, token)
        return len(asked)

    assert queries(15) == queries(1)


def test_a_gone_address_is_parked_with_who_said_so(scripted: type[Scripted]) -> None:
    [row] = messages()
    scripted.answers = [outcome(OutcomeKind.ADDRESS_GONE, "UNREGISTERED")]

    sending.send_batch("simulation")

    channel = channel_of(row)
    assert (channel.state, channel.disabled_by, channel.disabled_code) == ("parked", "simulation", "UNREGISTERED")


def test_a_rejected_message_leaves_the_channel_as_it_is(scripted: type[Scripted]) -> None:
    [row] = messages()
    scripted.answers = [outcome(OutcomeKind.REJECTED, "PayloadTooLarge")]

    sending.send_batch("simulation")

    assert channel_of(row).state == "active"


def test_without_another_channel_it_waits_in_the_inbox(scripted: type[Scripted]) -> None:
    [row] = messages()
    scripted.answers = [outcome(OutcomeKind.REJECTED)]

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.provider, row.status, row.next_attempt_at) == ("inbox", "pending", None)


def test_without_a_key_to_poll_with_it_has_failed_with_its_story(scripted: type[Scripted]) -> None:
    [row] = messages(key="")
    scripted.answers = [outcome(OutcomeKind.ADDRESS_GONE, "410")]

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.status, row.error_code) == ("failed", "410")
    assert row.attempts.count() == 1


def test_tries_used_up_lead_to_the_next_channel(scripted: type[Scripted], settings: LazySettings) -> None:
    settings.MAX_ATTEMPTS = 2
    settings.RETRY_BASE_S = 0.01
    [row] = messages()
    scripted.answers = [outcome(OutcomeKind.RETRY), outcome(OutcomeKind.RETRY)]

    sending.send_batch("simulation")
    time.sleep(0.05)
    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.provider, row.attempts.count()) == ("inbox", 2)


def test_our_own_wrong_key_costs_the_message_nothing_and_pauses_the_credential(scripted: type[Scripted]) -> None:
    first, second = messages(2)
    scripted.answers = [outcome(OutcomeKind.MISCONFIGURED, "InvalidProviderToken")] * 2

    sending.send_batch("simulation")

    first.refresh_from_db()
    state = ProviderState.objects.get()
    assert (first.status, first.provider, first.attempt_count) == ("pending", "simulation", 0)
    assert (state.state, state.why) == ("open", "InvalidProviderToken")
    PushNotificationLog.objects.filter(pk=second.pk).update(next_attempt_at=clocks.db_now())
    assert sending.send_batch("simulation") == 0, "a paused credential's rows wait unclaimed"
    assert Channel.objects.filter(state="active").count() == 2


def test_a_provider_that_raises_is_a_bug_that_loses_no_message(
    scripted: type[Scripted], caplog: pytest.LogCaptureFixture
) -> None:
    [row] = messages()
    scripted.answers = [RuntimeError("boom")]

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.status, row.error_code) == ("pending", "provider_bug")
    assert "a provider raised" in caplog.text


def test_what_could_not_start_in_time_is_given_back_uncounted(scripted: type[Scripted], settings: LazySettings) -> None:
    settings.BATCH_BUDGET_S = 0.0
    [row] = messages()

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.status, row.attempt_count, row.claim_token, scripted.got) == ("pending", 0, None, [])


class ToldMeanwhile(Scripted):
    async def send_one(self, message: Message) -> Outcome:
        if len(self.got) == 10:
            stopping.tell()
        return await super().send_one(message)


def test_a_worker_that_is_told_to_end_gives_back_what_it_has_not_sent(
    scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages(150)
    monkeypatch.setitem(BUILT_IN, "simulation", ToldMeanwhile)
    try:
        sending.send_batch("simulation")
    finally:
        stopping.forget()

    given_back = PushNotificationLog.objects.filter(status="pending", attempt_count=0, claim_token=None)
    sent = PushNotificationLog.objects.filter(status="sent", attempt_count=1, claim_token=None)
    assert 0 < len(scripted.got) < 150
    assert (sent.count(), given_back.count()) == (len(scripted.got), 150 - len(scripted.got))


def test_no_send_starts_that_could_end_after_the_budget(
    scripted: type[Scripted], settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEND_DEADLINE_S, settings.BATCH_BUDGET_S, settings.SEND_WINDOW = 2.0, 3.0, 1
    monkeypatch.setattr(scripted, "takes_s", 1.1)
    messages(3)

    sending.send_batch("simulation")

    assert len(scripted.got) == 1
    assert PushNotificationLog.objects.filter(status="pending", attempt_count=0, claim_token=None).count() == 2


def test_a_batch_sends_no_more_once_the_breaker_has_opened(
    scripted: type[Scripted], settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEND_WINDOW = 10
    monkeypatch.setattr(scripted, "takes_s", 0.05)
    messages(200)
    scripted.answers = [outcome(OutcomeKind.RETRY, "503")] * 200

    sending.send_batch("simulation")

    given_back = PushNotificationLog.objects.filter(status="pending", attempt_count=0, claim_token=None)
    assert len(scripted.got) <= 100
    assert given_back.count() == 200 - len(scripted.got)


def test_a_row_whose_holder_died_is_sent_alone(scripted: type[Scripted]) -> None:
    [row] = messages()
    claim(uuid4())
    end_leases()
    sweeps.release_lost()

    assert sending.send_batch("simulation") == 0, "a lost row is not for batches"
    assert sending.send_alone("simulation") == 1

    row.refresh_from_db()
    assert (row.status, row.attempt_count) == ("sent", 2)


@pytest.mark.parametrize("kind", [*OutcomeKind, None])
def test_a_result_after_the_lease_changes_nothing_and_is_told(
    kind: OutcomeKind | None, caplog: pytest.LogCaptureFixture
) -> None:
    messages()
    token, other = uuid4(), uuid4()
    [stale] = claim(token)
    end_leases()
    sweeps.release_lost()
    now = clocks.db_now()
    PushNotificationLog.objects.claim_lost("simulation", "default", [Priority.NORMAL], token=other, now=now, until=now)
    before = everything()

    written = results.write([Attempt(stale, outcome(kind) if kind else None, now, 5)], token)

    assert (everything(), written) == (before, [])
    [line] = [record for record in caplog.records if record.getMessage() == "claim lost"]
    assert line.__dict__["message_id"] == str(stale.message_id)


def everything() -> list[Any]:
    """Every row that a result could change."""
    tables = (PushNotificationLog, Channel, DeliveryAttempt, ProviderState, Alert)
    return [row for table in tables for row in table._default_manager.order_by("pk").values()]


def test_the_rows_of_a_write_that_are_still_held_are_written(scripted: type[Scripted]) -> None:
    lost, kept = messages(2)
    token = uuid4()
    stale = claim(token)
    PushNotificationLog.objects.filter(pk=lost.pk).update(claim_token=uuid4())

    results.write([Attempt(row, accepted("p"), clocks.db_now(), 5) for row in stale], token)

    assert PushNotificationLog.objects.get(pk=lost.pk).status == "pending"
    assert PushNotificationLog.objects.get(pk=kept.pk).status == "sent"


def test_a_row_that_was_sent_alone_wakes_a_worker_for_the_next(scripted: type[Scripted], broker: Redis) -> None:
    messages(2)
    claim(uuid4())
    end_leases()
    sweeps.release_lost()
    broker.flushdb()

    woken = []
    while sending.send_alone("simulation"):
        woken.append(broker.llen("push.simulation"))

    assert woken == [1, 2]
    assert set(PushNotificationLog.objects.values_list("status", flat=True)) == {"sent"}


def test_what_was_sent_and_what_it_taught_are_written_both_or_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError

    [row] = messages()
    [taken] = claim(token := uuid4())
    monkeypatch.setattr(guard, "watch", broken)

    with pytest.raises(RuntimeError):
        results.write([Attempt(taken, accepted("p"), clocks.db_now(), 3)], token)

    row.refresh_from_db()
    assert (row.status, row.claim_token) == ("pending", token)


def test_an_ack_that_overtakes_the_result_keeps_the_message_delivered(scripted: type[Scripted]) -> None:
    [row] = messages()
    PushNotificationLog.objects.filter(pk=row.pk).update(status="pending")
    [taken] = claim(token := uuid4())
    PushNotificationLog.objects.filter(pk=row.pk).update(status="delivered", received_at=clocks.db_now())

    results.write([Attempt(taken, accepted("p"), clocks.db_now(), 3)], token)

    row.refresh_from_db()
    assert (row.status, row.provider_message_id) == ("delivered", "p")
    assert row.latency_ms is not None


def test_the_sweeps_wake_what_a_flushed_broker_forgot(scripted: type[Scripted], broker: Redis) -> None:
    messages(3)
    broker.flushdb()

    given = sweeps.rehint()

    [raw] = broker.lrange("push.simulation", 0, -1)
    assert given == 1
    assert json.loads(raw)["headers"]["task"] == "delivery.send"
    assert sweeps.rehint() == 0, "one hint for one batch is enough"


def test_expiry_ends_what_nobody_acked_and_the_job_completes(scripted: type[Scripted]) -> None:
    rows = messages(3)
    sending.send_batch("simulation")
    PushNotificationLog.objects.update(expires_at=clocks.db_now() - timedelta(seconds=1))

    assert sweeps.expire() == 3
    assert sweeps.expire() == 0
    assert sweeps.settle_jobs() == 1
    assert sweeps.settle_jobs() == 0

    job = Job.objects.get(job_id=rows[0].job_id)
    assert (job.status, frozen(job)["expired"]) == ("completed", 3)


def test_a_late_ack_thaws_the_count_of_a_completed_job(scripted: type[Scripted]) -> None:
    [row] = messages()
    PushNotificationLog.objects.update(expires_at=clocks.db_now() - timedelta(seconds=1))
    sweeps.expire()
    sweeps.settle_jobs()
    from_device = {"message_id": str(row.message_id), "device_id": row.device_id}

    ack = acks.parse(from_device)
    acks.record([acks.prove(ack, key_of=None)])
    sweeps.settle_jobs()

    job = Job.objects.get(job_id=row.job_id)
    assert (frozen(job)["late"], frozen(job)["expired"]) == (1, 0)


def test_an_ack_of_a_failed_message_thaws_the_count_of_a_completed_job(scripted: type[Scripted]) -> None:
    [row] = messages(key="")
    scripted.answers = [outcome(OutcomeKind.REJECTED, "400")]
    sending.send_batch("simulation")
    sweeps.settle_jobs()

    ack = acks.parse({"message_id": str(row.message_id), "device_id": row.device_id})
    acks.record([acks.prove(ack, key_of=None)])
    sweeps.settle_jobs()

    job = Job.objects.get(job_id=row.job_id)
    assert (frozen(job)["delivered"], frozen(job)["failed"]) == (1, 0)


def test_channels_silent_for_90_days_are_put_away_and_others_are_not() -> None:
    now = clocks.db_now()
    old, fresh = now - timedelta(days=91), now - timedelta(days=89)
    device = a_device("till-1")
    a_channel(device, address="never used", registered_at=old)
    a_channel(device, address="used long ago", registered_at=old, last_used_at=old)
    a_channel(device, address="used lately", registered_at=old, last_used_at=fresh)
    a_channel(device, address="new", registered_at=fresh)

    assert sweeps.archive_silent_channels() == 2

    archived = set(Channel.objects.filter(state="archived").values_list("address", flat=True))
    assert archived == {"never used", "used long ago"}


@pytest.fixture
def hedged(scripted: type[Scripted], settings: LazySettings) -> PushNotificationLog:
    """Sent on the first of two channels, and its time for an ack is over."""
    settings.FALLBACK_AFTER_S = {"normal": 20}
    [row] = messages()
    a_channel(row.device, "mqtt", 1)
    sending.send_batch("simulation")
    PushNotificationLog.objects.update(hedge_at=clocks.db_now())
    row.refresh_from_db()
    return row


def test_without_an_ack_in_time_it_goes_out_on_the_next_channel_too(hedged: PushNotificationLog, broker: Redis) -> None:
    assert sweeps.hedge() == 1
    assert sweeps.hedge() == 0

    before, message_id = hedged.sent_at, hedged.message_id
    hedged.refresh_from_db()
    assert (hedged.status, hedged.provider, hedged.fallback_from) == ("pending", "mqtt", "simulation")
    assert (hedged.sent_at, hedged.message_id) == (before, message_id)
    assert broker.llen("push.mqtt") == 1


def test_an_acked_message_is_not_hedged(hedged: PushNotificationLog) -> None:
    ack = acks.parse({"message_id": str(hedged.message_id), "device_id": hedged.device_id})
    acks.record([acks.prove(ack, key_of=None)])

    sweeps.hedge()

    hedged.refresh_from_db()
    assert (hedged.status, hedged.provider) == ("delivered", "simulation")


def test_a_hedge_that_no_channel_takes_leaves_it_sent_by_the_first(hedged: PushNotificationLog) -> None:
    sweeps.hedge()
    [taken] = claim(token := uuid4(), provider="mqtt")

    results.write([Attempt(taken, outcome(OutcomeKind.REJECTED), clocks.db_now(), 3)], token)

    hedged.refresh_from_db()
    assert (hedged.status, hedged.provider) == ("sent", "simulation")


def test_what_the_first_of_two_providers_accepted_stays_written_down(
    hedged: PushNotificationLog, scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps.hedge()
    first = (hedged.sent_at, hedged.handoff_ms, hedged.provider_message_id)
    monkeypatch.setitem(BUILT_IN, "mqtt", Scripted)
    event_loop.close()

    sending.send_batch("mqtt")

    hedged.refresh_from_db()
    assert (hedged.status, hedged.provider, hedged.taken_by) == ("sent", "mqtt", "simulation")
    assert (hedged.sent_at, hedged.handoff_ms, hedged.provider_message_id) == first
    [second] = DeliveryAttempt.objects.values_list("provider", "outcome")
    assert second == ("mqtt", "accepted")


def test_what_a_provider_accepted_stays_its_own_when_the_inbox_hands_it_out(hedged: PushNotificationLog) -> None:
    sweeps.hedge()
    accepted_at = hedged.sent_at

    inbox.hand_out(hedged.device_id)

    hedged.refresh_from_db()
    assert (hedged.status, hedged.provider, hedged.sent_at) == ("sent", "simulation", accepted_at)


def test_a_priority_without_such_a_time_is_not_hedged(scripted: type[Scripted]) -> None:
    [row] = messages()
    a_channel(row.device, "mqtt", 1)

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert (row.hedge_at, sweeps.hedge()) == (None, 0)


def test_a_channel_that_moved_to_another_device_takes_no_message_of_the_one_before(scripted: type[Scripted]) -> None:
    [row] = messages()
    Channel.objects.update(device=a_device("the new owner"))

    sending.send_batch("simulation")

    row.refresh_from_db()
    assert scripted.got == []
    assert (row.status, row.provider, row.channel_id) == ("pending", "inbox", None)
