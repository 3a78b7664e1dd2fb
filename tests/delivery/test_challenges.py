"""The worker's side of a challenge: on real push services, what goes out, when, and how often."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from delivery import challenges, clocks, gate
from delivery.models import AddressChallenge, Channel
from delivery.models.address_challenge import MAX_PUSHES
from delivery.models.keys import key_matches
from simulator.services import EmulatedFcm, PushServices, running
from simulator.services.service import EmulatedService
from tests.delivery.emulated import a_fleet, configured, settings_of

pytestmark = pytest.mark.django_db(transaction=True)

SERVICES = ["fcm", "apns", "wns", "web_push"]
SHOWN = ("notification", "alert", "<toast")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("push-services")


@pytest.fixture
def services(home: Path) -> Iterator[PushServices]:
    with running(PushServices(home=home)) as each:
        settings = {name: {"default": settings_of(service)} for name, service in each.services.items()}
        with configured(settings):
            yield each


@pytest.fixture
def fcm(services: PushServices) -> EmulatedService:
    return services.fcm


def asked(channel: Channel) -> AddressChallenge:
    made = challenges.offer(channel.provider, channel.address, requested_by="person:carl", now=clocks.db_now())
    assert isinstance(made, AddressChallenge)
    return made


def code_in(payload: Any) -> str:
    """As the app on the device reads it: FCM's data are strings, WNS' raw payload is text."""
    flat = json.loads(payload) if isinstance(payload, str) else payload
    data = flat["data"]["data"] if isinstance(flat["data"].get("data"), str) else flat["data"]
    return str((json.loads(data) if isinstance(data, str) else data)["challenge"])


def make_due() -> None:
    AddressChallenge.objects.exclude(due_at=None).update(due_at=clocks.db_now())


@pytest.mark.parametrize("name", SERVICES)
def test_the_code_reaches_the_address_and_nothing_is_shown(services: PushServices, name: str) -> None:
    [channel] = a_fleet(services.services[name], 1)
    challenge = asked(channel)

    assert challenges.push_due(name) == 1

    [push] = services.services[name].deliveries.recent
    challenge.refresh_from_db()
    assert key_matches(code_in(push.payload), challenge.code_hash)
    assert push.message_id == str(challenge.pk)
    assert not any(word in json.dumps(push.payload) for word in SHOWN)


def test_it_goes_out_once(fcm: EmulatedService) -> None:
    asked(*a_fleet(fcm, 1))

    assert [challenges.push_due("fcm"), challenges.push_due("fcm")] == [1, 0]
    assert fcm.deliveries.total == 1


def test_a_channel_in_any_state_is_asked_and_stays_in_it(fcm: EmulatedService) -> None:
    [channel] = a_fleet(fcm, 1)
    asked(channel)
    Channel.objects.update(state="archived")

    challenges.push_due("fcm")

    channel.refresh_from_db()
    assert (fcm.deliveries.total, channel.state) == (1, "archived")


def test_what_the_service_did_not_take_goes_out_later_with_a_new_code(fcm: EmulatedService) -> None:
    challenge = asked(*a_fleet(fcm, 1))
    fcm.fails_with(503)
    challenges.push_due("fcm")
    challenge.refresh_from_db()
    first = challenge.code_hash
    fcm.heals()

    too_early = challenges.push_due("fcm")
    make_due()
    later = challenges.push_due("fcm")

    challenge.refresh_from_db()
    assert (too_early, later) == (0, 1)
    assert challenge.code_hash != first
    assert key_matches(code_in(fcm.deliveries.recent[-1].payload), challenge.code_hash)


def test_a_service_that_asks_to_wait_is_heard(fcm: EmulatedService) -> None:
    challenge = asked(*a_fleet(fcm, 1))
    fcm.fails_with(503, retry_after="120")

    challenges.push_due("fcm")

    challenge.refresh_from_db()
    assert challenge.due_at is not None
    assert challenge.due_at - clocks.db_now() > timedelta(seconds=110)


def test_after_three_pushes_that_nobody_took_there_is_no_fourth(fcm: EmulatedService) -> None:
    challenge = asked(*a_fleet(fcm, 1))
    fcm.fails_with(500)

    for _ in range(MAX_PUSHES + 1):
        challenges.push_due("fcm")
        make_due()

    challenge.refresh_from_db()
    assert challenge.pushes == MAX_PUSHES


def test_an_address_that_is_gone_is_not_asked_again(fcm: EmulatedService) -> None:
    [channel] = a_fleet(fcm, 1)
    challenge = asked(channel)
    fcm.retire([channel.address])

    challenges.push_due("fcm")

    challenge.refresh_from_db()
    channel.refresh_from_db()
    assert (challenge.due_at, channel.state) == (None, "active")


def test_behind_a_closed_gate_it_waits_and_loses_nothing(fcm: EmulatedService) -> None:
    challenge = asked(*a_fleet(fcm, 1))
    gate.pause("fcm", "default", why="test", now=clocks.db_now(), seconds=60)

    challenges.push_due("fcm")

    challenge.refresh_from_db()
    assert (fcm.deliveries.total, challenge.pushes) == (0, 0)


def test_an_expired_one_is_not_pushed(fcm: EmulatedService) -> None:
    asked(*a_fleet(fcm, 1))
    AddressChallenge.objects.update(expires_at=clocks.db_now())

    challenges.push_due("fcm")

    assert fcm.deliveries.total == 0


def test_of_two_workers_one_pushes_it(fcm: EmulatedService) -> None:
    challenge = asked(*a_fleet(fcm, 1))
    now = clocks.db_now()
    row = AddressChallenge.objects.filter(pk=challenge.pk)

    taken = [row.take("a", now=now, until=now + challenges.PUSH_LEASE), row.take("b", now=now, until=now)]

    assert taken == [1, 0]


def test_it_wakes_a_worker_of_its_provider_and_a_sweep_does_so_again(fcm: EmulatedService, broker: Redis) -> None:
    asked(*a_fleet(fcm, 1))
    [hint] = broker.lrange("push.fcm", 0, -1)
    broker.flushdb()

    woken = challenges.rehint()

    [again] = broker.lrange("push.fcm", 0, -1)
    assert woken == 1
    assert {json.loads(each)["headers"]["task"] for each in (hint, again)} == {"delivery.push_challenges"}


def test_the_sweep_is_silent_where_nothing_is_due(fcm: EmulatedService) -> None:
    asked(*a_fleet(fcm, 1))
    challenges.push_due("fcm")

    assert challenges.rehint() == 0


def test_what_ended_a_day_ago_is_deleted(fcm: EmulatedService) -> None:
    first, second = a_fleet(fcm, 2)
    old, fresh = asked(first), asked(second)
    AddressChallenge.objects.filter(pk=old.pk).update(expires_at=clocks.db_now() - timedelta(hours=25))

    assert challenges.forget() == 1
    assert list(AddressChallenge.objects.all()) == [fresh]


def test_one_task_serves_one_credential_and_wakes_the_next(home: Path, broker: Redis) -> None:
    with running(EmulatedFcm(home=home)) as service:
        settings = settings_of(service)
        with configured({"fcm": {"default": settings, "second": settings}}):
            for credential in ("default", "second"):
                asked(*a_fleet(service, 1, credential=credential))
            broker.flushdb()

            tried = [challenges.push_due("fcm") for _ in range(3)]

            assert tried == [1, 1, 0]
            assert service.deliveries.total == broker.llen("push.fcm") == 2
