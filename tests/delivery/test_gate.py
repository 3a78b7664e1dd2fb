"""What a credential's answers mean for all that waits behind it."""

import time
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.core.cache import caches

from delivery import breaker, clocks, gate, guard, moving, results, sweeps
from delivery.in_flight import Attempt
from delivery.models import Alert, Channel, GateSpan, ProviderState, PushNotificationLog
from delivery.models.gate_span import THROTTLE_LASTS
from delivery.models.push_log_rows import Claimed
from delivery.outcomes import Outcome, OutcomeKind, accepted
from tests import races
from tests.delivery.rows import a_channel, a_device, messages

pytestmark = pytest.mark.django_db(transaction=True)

NAME = ("simulation", "default")


@pytest.fixture(autouse=True)
def fresh(broker: object) -> None:
    caches["default"].clear()
    gate._windows.clear()
    gate._seen.clear()
    gate._sent_rates.clear()
    guard._watching.clear()


def failures(count: int, retry_after_s: float | None = None) -> list[Outcome]:
    return [Outcome(kind=OutcomeKind.RETRY, code="503", retry_after_s=retry_after_s)] * count


def throttled() -> Outcome:
    return Outcome(kind=OutcomeKind.THROTTLED, code="429", retry_after_s=1)


def learn(outcomes: list[Outcome]) -> None:
    gate.learn(*NAME, outcomes, clocks.db_now())


def leave(want: int = 100, later_s: float = 0.0, full_per_s: float | None = None) -> gate.Pass:
    return gate.leave(*NAME, want, clocks.db_now() + timedelta(seconds=later_s), full_per_s)


def state() -> ProviderState:
    return ProviderState.objects.get()


def test_all_may_go_where_nothing_is_known_and_all_is_well() -> None:
    learn([accepted()] * 100)

    assert leave() == gate.Pass(100)
    assert ProviderState.objects.count() == 0


def test_a_provider_that_fails_is_left_alone_and_its_rows_wait_unclaimed() -> None:
    learn(failures(10))

    assert (state().state, state().why, leave()) == ("open", "503", gate.Pass(0))


def test_what_the_provider_asked_for_is_kept() -> None:
    learn(failures(10, retry_after_s=30))

    assert leave(later_s=29) == gate.Pass(0)
    assert leave(later_s=31).probe


def test_after_its_wait_one_message_a_second_finds_out() -> None:
    learn(failures(10))

    assert leave(later_s=3) == gate.Pass(1, probe=True)
    assert leave(later_s=3.5) == gate.Pass(0)
    assert leave(later_s=4.1) == gate.Pass(1, probe=True)


def test_of_two_workers_one_probes() -> None:
    learn(failures(10))

    passes = races.at_once(*[lambda: leave(later_s=3)] * 4)

    assert sorted(each.count for each in passes) == [0, 0, 0, 1]


def test_a_probe_that_fails_makes_the_wait_longer() -> None:
    learn(failures(10))
    leave(later_s=3)
    learn(failures(1))

    assert state().state == "open"
    assert leave(later_s=3.9) == gate.Pass(0)
    assert leave(later_s=4.5).probe


def test_a_probe_that_is_answered_opens_the_gate_and_the_rate_climbs() -> None:
    learn(failures(10))
    leave(later_s=3)
    learn([accepted()])

    assert state().state == "closed"
    assert leave(want=5_000).count == pytest.approx(breaker.RECOVERED_PER_S * breaker.FIRST_SHARE, rel=0.1)
    assert leave(want=5_000, later_s=breaker.CLIMB_S + 1).count == 5_000


def test_what_shut_a_gate_is_remembered_from_its_first_sign_to_its_end() -> None:
    wrong = Outcome(kind=OutcomeKind.MISCONFIGURED, code="403", detail="wrong key")
    learn(failures(10))
    leave(later_s=3)
    learn(failures(1))
    leave(later_s=9)
    learn([wrong])
    open_before = set(GateSpan.objects.filter(closed_at=None).values_list("trouble", "why"))
    leave(later_s=90)

    learn([accepted()])

    assert open_before == {("failing", "503"), ("misconfigured", "wrong key")}
    assert not GateSpan.objects.filter(closed_at=None).exists()


def test_a_throttle_is_remembered_apart_when_it_comes_again_much_later() -> None:
    now = clocks.db_now()
    for later_s in (0, 60, 600):
        gate.learn(*NAME, [throttled()], now + timedelta(seconds=later_s))

    spans = GateSpan.objects.order_by("began_at").values_list("trouble", "began_at", "last_at", "closed_at")
    first, second = (now, now + timedelta(seconds=60)), now + timedelta(seconds=600)
    assert list(spans) == [
        ("throttled", *first, first[1] + THROTTLE_LASTS),
        ("throttled", second, second, None),
    ]


def test_old_failures_do_not_close_a_gate_again_that_another_process_opened() -> None:
    learn(failures(10))
    ProviderState.objects.of(*NAME).close(clocks.db_now())
    leave()

    learn([accepted()] * 3 + failures(1))

    assert state().state == "closed"


def test_our_own_mistake_pauses_the_credential_and_tells_somebody_once() -> None:
    wrong = Outcome(kind=OutcomeKind.MISCONFIGURED, code="InvalidProviderToken", detail="wrong key")

    learn([wrong] * 3)
    learn([wrong] * 3)

    alert = Alert.objects.get()
    assert leave() == gate.Pass(0)
    assert (alert.kind, alert.subject, alert.text, alert.times) == (
        "misconfigured",
        "simulation/default",
        "wrong key",
        2,
    )


def test_an_address_that_is_throttled_says_nothing_of_its_provider() -> None:
    learn([Outcome(kind=OutcomeKind.RETRY, code="TooManyRequests", of_address=True)] * 20)

    assert leave() == gate.Pass(100)
    assert ProviderState.objects.count() == 0


def test_a_throttle_slows_the_credential_and_wears_off() -> None:
    learn([accepted()] * 1000)
    learn([throttled()])

    slowed = state().rate_per_s
    assert slowed is not None
    assert leave(want=100_000).count <= slowed * 1.1
    assert leave(want=5_000, later_s=600).count == 5_000


def test_a_slowed_credential_grows_back_to_its_own_limit_and_no_further() -> None:
    learn([accepted()] * 1000)
    learn([throttled()])

    assert leave(want=5_000, later_s=60, full_per_s=100).count == 100


def test_a_throttle_of_yesterday_is_no_limit_any_more() -> None:
    learn([throttled()])

    assert leave(want=5_000, later_s=86_400).count == 5_000


def test_a_throttle_slows_again_after_an_earlier_one_wore_off() -> None:
    learn([throttled()])
    ProviderState.objects.update(slowed_at=clocks.db_now() - timedelta(days=1))

    learn([accepted()] * 1000)
    learn([throttled()])

    assert leave(want=100_000).count < 1_100


def test_a_throttle_halves_what_was_sent_and_does_not_stop_a_first_batch() -> None:
    learn([accepted()] * 99 + [throttled()])

    assert state().rate_per_s == pytest.approx(100, rel=0.1)


def test_the_bucket_is_shared_and_the_local_share_stands_in_for_it(settings: LazySettings) -> None:
    first = leave(want=60, full_per_s=100)
    second = leave(want=60, full_per_s=100)
    assert first.count + second.count in (100, 120), "120 where a second ended in between"

    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1"}}
    assert leave(want=1000, full_per_s=100).count <= 50


def test_workers_whose_clocks_differ_share_one_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    now = clocks.db_now()
    first = gate.leave(*NAME, 60, now, 100)
    monkeypatch.setattr("time.time", lambda real=time.time: real() + 600)

    second = gate.leave(*NAME, 60, now, 100)

    assert first.count + second.count == 100


def test_what_waits_for_long_behind_a_closed_gate_takes_its_next_channel() -> None:
    with_another, without = messages(2)
    second = a_channel(with_another.device, "mqtt", 1)
    learn(failures(10))
    assert sweeps.detour() == 0, "a short pause moves nothing"
    ProviderState.objects.update(opened_at=clocks.db_now() - timedelta(seconds=31))

    assert sweeps.detour() == 1

    with_another.refresh_from_db()
    without.refresh_from_db()
    assert (with_another.provider, with_another.channel_id) == ("mqtt", second.pk)
    assert (with_another.fallback_from, without.provider) == ("simulation", "simulation")


def test_a_gate_that_nothing_waits_behind_takes_messages_again_so_that_one_finds_out() -> None:
    learn(failures(10))
    now = clocks.db_now()
    ProviderState.objects.update(opened_at=now - timedelta(minutes=10), until=now - timedelta(seconds=1))
    assert gate.long_closed(now) == {NAME}

    ProviderState.objects.update(until=now - timedelta(seconds=6))

    assert gate.long_closed(now) == frozenset()
    assert leave().probe


def test_what_waits_for_a_credential_that_was_removed_takes_its_next_channel() -> None:
    [row] = messages()
    second = a_channel(row.device, "mqtt", 1)
    PushNotificationLog.objects.filter(pk=row.pk).update(credential="removed")

    assert sweeps.detour() == 1

    row.refresh_from_db()
    assert (row.provider, row.channel_id, row.fallback_from) == ("mqtt", second.pk, "simulation")


def test_what_changed_since_a_detour_looked_is_left_as_it_is() -> None:
    [row] = messages()
    seen_at = clocks.db_now()
    PushNotificationLog.objects.filter(pk=row.pk).update(provider="inbox", next_attempt_at=None)

    moving.move_on([row], seen_at)

    row.refresh_from_db()
    assert (row.provider, row.next_attempt_at) == ("inbox", None)


def test_a_row_whose_holder_died_stays_one_to_claim_alone_behind_a_closed_gate() -> None:
    [row] = messages()
    PushNotificationLog.objects.filter(pk=row.pk).update(claim_alone=True)

    moving.move_on([row], clocks.db_now())

    row.refresh_from_db()
    assert row.claim_alone


# --- the blast-radius guard
def watch(gone: list[Channel], *, sends: int, accepted: int) -> None:
    now = clocks.db_now()
    guard.watch(*NAME, {channel.pk: "UNREGISTERED" for channel in gone}, sends=sends, accepted=accepted, now=now)
    gate._seen[NAME] = ProviderState.objects.filter(provider="simulation").first()


def channels(count: int) -> list[Channel]:
    return [a_channel(a_device(f"till-{number}")) for number in range(count)]


def states() -> set[str]:
    return {channel.state for channel in Channel.objects.all()}


def test_a_few_dead_addresses_are_disabled_with_who_when_and_why() -> None:
    dead, *_ = channels(30)

    watch([dead], sends=30, accepted=29)

    dead.refresh_from_db()
    assert (dead.state, dead.disabled_code, dead.disabled_by) == ("disabled", "UNREGISTERED", "simulation")
    assert dead.disabled_at is not None
    assert Channel.objects.filter(state="active").count() == 29


def test_a_wrong_key_disables_nothing_raises_one_alert_and_pauses_the_credential() -> None:
    fleet = channels(60)

    watch(fleet[:30], sends=30, accepted=0)
    watch(fleet[30:], sends=30, accepted=0)

    assert states() == {"active"}
    assert Alert.objects.get(kind="guard_tripped").times == 2
    assert leave() == gate.Pass(0)


def test_an_alert_of_the_guard_closes_after_an_hour_without_another_one() -> None:
    watch(channels(30), sends=30, accepted=0)
    sweeps.judge_overdue()
    at_first = Alert.objects.get(kind="guard_tripped").closed_at
    Alert.objects.update(last_seen_at=clocks.db_now() - timedelta(minutes=61))

    sweeps.judge_overdue()

    assert at_first is None
    assert Alert.objects.get(kind="guard_tripped").closed_at is not None


def test_over_a_tenth_with_one_answer_disables_nothing_but_sending_goes_on() -> None:
    fleet = channels(100)

    watch(fleet[:11], sends=100, accepted=89)

    assert states() == {"active"}
    assert leave() == gate.Pass(100)


def test_a_small_window_waits_for_its_minute() -> None:
    [dead] = channels(1)
    watch([dead], sends=1, accepted=0)
    dead.refresh_from_db()
    assert dead.state == "parked"
    assert sweeps.judge_overdue() == 0

    watch([], sends=5, accepted=5)
    ProviderState.objects.update(window_from=clocks.db_now() - timedelta(seconds=61))

    assert sweeps.judge_overdue() == 1
    assert states() == {"disabled"}


def test_what_the_same_batch_accepts_after_a_dead_address_counts_in_its_window() -> None:
    [dead] = channels(1)
    now = clocks.db_now()
    guard.watch(*NAME, {dead.pk: "UNREGISTERED"}, sends=1, accepted=0, now=now)

    guard.watch(*NAME, {}, sends=5, accepted=5, now=now)

    assert (state().window_sends, state().window_accepted) == (6, 5)


def test_a_device_that_registered_again_after_its_address_went_keeps_its_channel() -> None:
    [row] = messages()
    assert row.channel_id is not None
    now = clocks.db_now()
    gone = Outcome(kind=OutcomeKind.ADDRESS_GONE, code="Unregistered", gone_since=now - timedelta(days=1))
    attempt = Attempt(_claimed(row), gone, now, 5)

    assert results._gone([attempt]) == {}
    Channel.objects.update(registered_at=now - timedelta(days=2))
    assert results._gone([attempt]) == {row.channel_id: "Unregistered"}


def _claimed(row: PushNotificationLog) -> Claimed:
    assert row.channel_id is not None
    assert row.job_id is not None
    return Claimed(
        id=row.pk,
        message_id=row.message_id,
        device_id=row.device_id,
        job_id=row.job_id,
        channel_id=row.channel_id,
        provider=row.provider,
        credential=row.credential,
        priority=row.priority,
        attempt_count=1,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
