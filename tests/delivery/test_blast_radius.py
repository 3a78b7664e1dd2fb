"""A mistake of ours costs no device its address: real providers, on real sockets, against the emulated emulated."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db.models import F
from rest_framework.test import APIClient

from delivery import clocks, guard, sending, sweeps
from delivery.models import Alert, ApiKey, Channel, Job, ProviderState, PushNotificationLog
from delivery.outcomes import Outcome, OutcomeKind, accepted
from delivery.providers.apns import Apns
from simulator.services import EmulatedApns, EmulatedFcm, running
from tests.delivery import emulated

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = {"title": "Hello", "body": "A new menu", "data": {"menu": "m" * 5_000}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("push-services")


@pytest.fixture
def fcm(home: Path) -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm(home=home)) as service:
        yield service


@pytest.fixture
def apns(home: Path) -> Iterator[EmulatedApns]:
    with running(EmulatedApns(home=home)) as service:
        yield service


@pytest.fixture(autouse=True)
def sent_there(fcm: EmulatedFcm, apns: EmulatedApns, broker: object) -> Iterator[None]:
    with emulated.configured({each.name: {"default": emulated.settings_of(each)} for each in (fcm, apns)}):
        yield


def send_all(provider: str) -> int:
    """Batch after batch until nothing more may go; how many rows were claimed."""
    claimed = 0
    while batch := sending.send_batch(provider):
        claimed += batch
    return claimed


def channel_states() -> set[str]:
    return set(Channel.objects.values_list("state", flat=True))


def rows(provider: str) -> list[PushNotificationLog]:
    return list(PushNotificationLog.objects.filter(provider=provider))


def time_passes(seconds: float) -> None:
    """What was to wait until later has waited."""
    earlier = timedelta(seconds=seconds)
    for field in ("until", "window_from", "recovering_since"):
        ProviderState.objects.exclude(**{field: None}).update(**{field: F(field) - earlier})
    PushNotificationLog.objects.update(next_attempt_at=F("next_attempt_at") - earlier)


# --- a payload that is too large
def test_a_payload_that_fcm_would_refuse_is_refused_when_it_is_ordered(fcm: EmulatedFcm) -> None:
    emulated.a_fleet(fcm, 300)
    backend = APIClient()
    backend.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.objects.issue('till-office', ['jobs:write'])}")

    answer = backend.post(
        "/api/v1/jobs", {"name": "Menu", "target": {"all": True}, "push_notification": LARGE}, format="json"
    )

    assert answer.status_code == 422
    assert "as fcm sends it" in answer.content.decode()
    assert not Job.objects.exists()


def test_a_large_payload_that_slipped_past_that_check_costs_no_channel(fcm: EmulatedFcm) -> None:
    emulated.order(emulated.a_fleet(fcm, 300), payload=LARGE)

    claimed = send_all("fcm")

    assert (claimed, fcm.accepted()) == (300, [])
    assert {row.error_code for row in rows("inbox")} == {"payload_too_large"}
    assert channel_states() == {"active"}
    assert [alert.kind for alert in Alert.objects.all()] == ["payload_rejected"]


def test_a_payload_that_fcm_itself_refuses_costs_no_channel(fcm: EmulatedFcm) -> None:
    fcm.fails_with(400, "INVALID_ARGUMENT")
    emulated.order(emulated.a_fleet(fcm, 300))

    send_all("fcm")
    time_passes(61)
    sweeps.judge_overdue()

    assert fcm.answers[400] == 300
    assert channel_states() == {"active"}
    assert [alert.kind for alert in Alert.objects.all()] == ["payload_rejected"]


# --- a credential of the wrong environment
def test_a_wrong_environment_is_noticed_within_50_sends_and_costs_no_channel(apns: EmulatedApns) -> None:
    apns.fails_with(400, "BadDeviceToken")
    emulated.order(emulated.a_fleet(apns, 300))

    send_all("apns")
    sends = apns.requests
    time_passes(61)
    sweeps.judge_overdue()

    assert 20 <= sends <= 50
    assert channel_states() == {"active"}
    assert Alert.objects.get().kind == "guard_tripped"
    assert len([row for row in rows("apns") if row.attempt_count == 0]) == 300 - sends, "the others wait, untried"


def test_a_credential_that_becomes_wrong_is_noticed_within_50_sends_too(
    apns: EmulatedApns, settings: LazySettings
) -> None:
    emulated.order(emulated.a_fleet(apns, 100))
    send_all("apns")
    good = apns.requests
    apns.fails_with(400, "BadDeviceToken")
    emulated.order(emulated.a_fleet(apns, 300))
    settings.PROVIDERS = {"apns": {"default": {**emulated.settings_of(apns), "sandbox_url": "https://localhost:1"}}}

    send_all("apns")

    assert good == 100
    assert 20 <= apns.requests - good <= 50
    assert Channel.objects.filter(state="disabled").count() == 0


def test_after_a_batch_that_went_well_the_next_one_starts_at_full_width(apns: EmulatedApns) -> None:
    async def starts(provider: Apns) -> bool:
        waiting = asyncio.ensure_future(guard.Caution(provider).turn(guard.ENOUGH_SENDS))
        await asyncio.sleep(0)
        waiting.cancel()
        return waiting.done() and not waiting.cancelled()

    async def went(provider: Apns, outcome: Outcome) -> bool:
        batch = guard.Caution(provider)
        batch.note(outcome)
        batch.nothing_left()
        return await starts(provider)

    provider = Apns.from_config(emulated.settings_of(apns))
    gone = Outcome(kind=OutcomeKind.ADDRESS_GONE, code="BadDeviceToken")

    assert not asyncio.run(starts(provider))
    assert asyncio.run(went(provider, accepted()))
    assert not asyncio.run(went(provider, gone))


def test_a_wrong_environment_of_a_quarter_of_the_fleet_costs_no_channel(apns: EmulatedApns) -> None:
    fleet = emulated.a_fleet(apns, 300)
    apns.fails_with(400, "BadDeviceToken", addresses=frozenset(channel.address for channel in fleet[::4]))
    emulated.order(fleet)

    send_all("apns")
    time_passes(61)
    sweeps.judge_overdue()

    assert len(apns.accepted()) == 225, "the others are served"
    assert channel_states() == {"active"}
    assert Alert.objects.count() == 1


# --- an address that APNs calls gone
def test_an_address_that_registered_after_apns_missed_it_keeps_its_channel(apns: EmulatedApns) -> None:
    [channel] = emulated.a_fleet(apns, 1)
    apns.retire([channel.address])
    Channel.objects.update(registered_at=clocks.db_now() + timedelta(seconds=1))
    emulated.order([channel, *emulated.a_fleet(apns, 40)])

    send_all("apns")
    time_passes(61)
    sweeps.judge_overdue()

    channel.refresh_from_db()
    assert apns.answers[410] == 1
    assert channel.state == "active"


def test_an_address_that_is_gone_since_its_registration_is_parked_and_then_disabled(apns: EmulatedApns) -> None:
    [channel] = emulated.a_fleet(apns, 1, registered_at=clocks.db_now() - timedelta(days=1))
    apns.retire([channel.address])
    emulated.order([channel])
    sending.send_batch("apns")
    channel.refresh_from_db()
    at_first = channel.state
    emulated.order(emulated.a_fleet(apns, 40))

    send_all("apns")

    channel.refresh_from_db()
    assert (at_first, channel.state) == ("parked", "disabled")
    assert (channel.disabled_by, channel.disabled_code) == ("apns", "Unregistered")
    assert Channel.objects.filter(state="active").count() == 40


# --- a provider that is down
def test_an_outage_opens_the_breaker_and_a_probe_closes_it_while_others_are_unmoved(
    fcm: EmulatedFcm, apns: EmulatedApns, settings: LazySettings
) -> None:
    settings.SEND_BATCH = 50
    fcm.fails_with(503, "UNAVAILABLE", retry_after="30")
    emulated.order(emulated.a_fleet(fcm, 300) + emulated.a_fleet(apns, 50))

    send_all("fcm")
    tried = fcm.requests - 1  # the access token
    waiting = [row for row in rows("fcm") if row.attempt_count == 0]
    others = send_all("apns")
    down = ProviderState.objects.get()
    wait_s = (down.until - clocks.db_now()).total_seconds() if down.until else 0.0

    assert (down.provider, down.state, tried, len(waiting)) == ("fcm", "open", 50, 250)
    assert 25 <= wait_s <= 30, "as long as FCM asked"
    assert {row.claim_token for row in waiting} == {None}
    assert (others, len(apns.accepted())) == (50, 50)

    fcm.heals()
    time_passes(31)
    probed = sending.send_batch("fcm")

    assert (probed, len(fcm.accepted()), ProviderState.objects.get().state) == (1, 1, "closed")
    assert channel_states() == {"active"}


def test_a_probe_of_a_provider_that_is_still_down_sends_one_message(fcm: EmulatedFcm, settings: LazySettings) -> None:
    settings.SEND_BATCH = 50
    fcm.fails_with(503, "UNAVAILABLE", retry_after="30")
    emulated.order(emulated.a_fleet(fcm, 300))
    send_all("fcm")
    before = fcm.requests
    time_passes(31)

    send_all("fcm")

    assert fcm.requests - before == 1
    assert ProviderState.objects.get().state == "open"


# --- throttling
def test_a_throttled_address_waits_alone(fcm: EmulatedFcm) -> None:
    fleet = emulated.a_fleet(fcm, 100)
    fcm.does("quota", limit=0, by="address", window_s=60, retry_after="90", addresses=frozenset({fleet[0].address}))
    emulated.order(fleet)

    send_all("fcm")

    [waiting] = [row for row in rows("fcm") if row.status == "pending"]
    assert waiting.channel_id == fleet[0].pk
    assert waiting.next_attempt_at is not None
    assert (waiting.next_attempt_at - clocks.db_now()).total_seconds() > 80
    assert not ProviderState.objects.exists()


def test_a_throttled_project_is_slowed_and_other_providers_are_not(
    fcm: EmulatedFcm, apns: EmulatedApns, settings: LazySettings
) -> None:
    settings.SEND_BATCH = 50
    fcm.does("quota", limit=20, window_s=60, retry_after="90")
    emulated.order(emulated.a_fleet(fcm, 300) + emulated.a_fleet(apns, 100))

    send_all("fcm")
    send_all("apns")

    slowed = ProviderState.objects.get()
    assert slowed.provider == "fcm"
    assert slowed.rate_per_s is not None
    assert (len(fcm.accepted()), len(apns.accepted())) == (20, 100)
    assert fcm.requests < 300, "what has not been tried waits"
    assert channel_states() == {"active"}
