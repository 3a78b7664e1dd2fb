"""The whole dance: refused, a code pushed to the address by the real provider, echoed, moved."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from rest_framework.test import APIClient

from delivery import challenges
from delivery.api import throttles
from delivery.api.throttles import Rate
from delivery.models import AddressChallenge, AuditLog, Channel, Device, PushNotificationLog, Site
from simulator.services import EmulatedFcm, running
from tests.delivery.api.conftest import device_client, person_client
from tests.delivery.emulated import configured, settings_of

Ask = Callable[[APIClient, str, dict[str, Any]], Any]


def by_put(client: APIClient, address: str, more: dict[str, Any]) -> Any:
    return client.put("/api/v1/devices/till-1/channels/fcm", {"address": address, **more})


def by_messenger(client: APIClient, address: str, more: dict[str, Any]) -> Any:
    body = {"device_token": address, "platform": "android", "provider": "fcm"}
    return client.post("/api/v1/messenger/devices/register", {**body, **more})


def by_subscription(client: APIClient, address: str, more: dict[str, Any]) -> Any:
    return client.post("/api/v1/push/subscribe", {"platform": "fcm", "device_token": address, **more})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fcm")


@pytest.fixture
def fcm(home: Path) -> Iterator[EmulatedFcm]:
    with running(EmulatedFcm(home=home)) as service, configured({"fcm": {"default": settings_of(service)}}):
        yield service


@dataclass(frozen=True, slots=True)
class Taken:
    """An address that another device has, and what FCM handed to whoever holds it."""

    address: str
    owner: Device
    service: EmulatedFcm

    def ask(self, client: APIClient, ask: Ask = by_put) -> dict[str, str]:
        """Register without proof; the answer to send along the next time."""
        refused = ask(client, self.address, {})
        assert refused.status_code == 409
        challenges.push_due("fcm")
        return {"challenge_id": refused.json()["detail"]["challenge_id"], "challenge": self.code()}

    def code(self) -> str:
        return str(json.loads(self.service.deliveries.recent[-1].payload["data"]["data"])["challenge"])

    def still_owned(self) -> bool:
        return Channel.objects.get(provider="fcm").device_id == self.owner.pk


@pytest.fixture
def taken(fcm: EmulatedFcm, other_site: Site, make_device: Callable[..., Device]) -> Taken:
    owner, address = make_device("till-2", other_site, key="key-of-till-2"), fcm.new_address()
    made = device_client("till-2", "key-of-till-2").put("/api/v1/devices/till-2/channels/fcm", {"address": address})
    assert made.status_code == 201
    return Taken(address, owner, fcm)


def test_a_device_gets_its_address_back_by_echoing_the_code(as_device: APIClient, device: Device, taken: Taken) -> None:
    answer = taken.ask(as_device)

    moved = by_put(as_device, taken.address, answer)

    note = AuditLog.objects.get(action="moved an address")
    assert moved.status_code == 200
    assert Channel.objects.get().device == device
    assert (note.actor, note.details) == ("device:till-1", {"to": "till-1"})


@pytest.mark.parametrize("ask", [by_messenger, by_subscription])
def test_a_person_gets_their_address_back_by_echoing_the_code(
    as_customer: APIClient, customer: User, taken: Taken, ask: Ask
) -> None:
    answer = taken.ask(as_customer, ask)
    devices = Device.objects.count()

    moved = ask(as_customer, taken.address, answer)

    assert moved.status_code == 201
    assert Channel.objects.get().device.owner == customer
    assert Device.objects.count() == devices + 1, "the refused registration left no device behind"


def test_the_push_is_data_alone_that_names_no_owner_and_leaves_no_message(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)

    [push] = taken.service.deliveries.recent
    assert push.address == taken.address
    assert push.message_id == answer["challenge_id"]
    assert json.loads(push.payload["data"]["data"]) == {"challenge": answer["challenge"]}
    assert "notification" not in push.payload
    assert "till-2" not in json.dumps(push.payload)
    assert 590 <= push.ttl_s <= 600
    assert not PushNotificationLog.objects.exists()


def test_the_record_holds_no_code(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)

    assert answer["challenge"] not in str(AddressChallenge.objects.values().get())


def test_the_refusal_is_the_same_whoever_the_owner_is(
    as_device: APIClient, as_customer: APIClient, taken: Taken
) -> None:
    of_a_phone = taken.service.new_address()
    by_messenger(as_customer, of_a_phone, {})
    of_nobody_now = taken.service.new_address()
    by_messenger(as_customer, of_nobody_now, {})
    Channel.objects.filter(address=of_nobody_now).update(state="disabled", disabled_by="fcm")

    refusals = [
        by_put(as_device, address, {}).json()["detail"] for address in (taken.address, of_a_phone, of_nobody_now)
    ]

    assert {refusal["message"] for refusal in refusals} == {refusals[0]["message"]}
    assert all(refusal.keys() == {"message", "challenge_id", "expires_at"} for refusal in refusals)
    assert "till-2" not in str(refusals)
    assert "carl" not in str(refusals)


def test_a_wrong_code_moves_nothing_and_the_right_one_still_does(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)

    wrong = by_put(as_device, taken.address, {**answer, "challenge": "guess"})
    kept = taken.still_owned()
    right = by_put(as_device, taken.address, answer)

    assert (wrong.status_code, kept, right.status_code) == (422, True, 200)


def test_five_wrong_codes_use_a_challenge_up(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)
    for _ in range(5):
        by_put(as_device, taken.address, {**answer, "challenge": "guess"})

    right = by_put(as_device, taken.address, answer)

    assert right.status_code == 422
    assert taken.still_owned()


def test_a_code_is_worth_nothing_before_it_was_pushed(as_device: APIClient, taken: Taken) -> None:
    refused = by_put(as_device, taken.address, {})

    answer = {"challenge_id": refused.json()["detail"]["challenge_id"], "challenge": ""}
    guessed = by_put(as_device, taken.address, {**answer, "challenge": " "})

    assert guessed.status_code == 422
    assert taken.still_owned()


def test_after_ten_minutes_the_code_is_worth_nothing(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)
    AddressChallenge.objects.update(
        created_at=F("created_at") - timedelta(minutes=10), expires_at=F("expires_at") - timedelta(minutes=10)
    )

    late = by_put(as_device, taken.address, answer)

    assert late.status_code == 422
    assert taken.still_owned()


def test_nobody_else_may_give_the_answer(
    as_device: APIClient, as_customer: APIClient, device: Device, taken: Taken
) -> None:
    answer = taken.ask(as_device)

    stolen = by_messenger(as_customer, taken.address, answer)

    assert stolen.status_code == 422
    assert taken.still_owned()


def test_an_answer_counts_for_its_own_address_alone(as_device: APIClient, as_customer: APIClient, taken: Taken) -> None:
    another = taken.service.new_address()
    by_messenger(as_customer, another, {})
    answer = taken.ask(as_device)

    response = by_put(as_device, another, answer)

    assert response.status_code == 422
    assert Channel.objects.get(address=another).device.owner is not None


def test_the_same_request_again_gets_the_same_answer(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)

    first, second = by_put(as_device, taken.address, answer), by_put(as_device, taken.address, answer)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["id"] == second.json()["id"]


def test_once_the_address_has_moved_on_the_old_answer_is_worth_nothing(as_device: APIClient, taken: Taken) -> None:
    answer = taken.ask(as_device)
    by_put(as_device, taken.address, answer)
    proof = {"proof": {"device_id": "till-1", "api_key": "key-of-till-1"}}
    device_client("till-2", "key-of-till-2").put(
        "/api/v1/devices/till-2/channels/fcm", {"address": taken.address, **proof}
    )

    replayed = by_put(as_device, taken.address, answer)

    assert replayed.status_code == 422
    assert taken.still_owned()


@pytest.mark.parametrize("half", ["challenge_id", "challenge"])
def test_half_an_answer_is_refused(as_device: APIClient, taken: Taken, half: str) -> None:
    answer = taken.ask(as_device)
    del answer[half]

    assert by_put(as_device, taken.address, answer).status_code == 422


@pytest.mark.parametrize("challenge_id", ["", "1", "019a", 7, ["x"], "00000000-0000-0000-0000-000000000000"])
def test_an_unknown_challenge_is_a_clear_refusal(as_device: APIClient, taken: Taken, challenge_id: Any) -> None:
    response = by_put(as_device, taken.address, {"challenge_id": challenge_id, "challenge": "code"})

    assert response.status_code == 422


def test_three_challenges_an_hour_are_all_that_an_address_gets(
    as_device: APIClient, as_customer: APIClient, taken: Taken
) -> None:
    callers = [(as_device, by_put), (as_customer, by_messenger), (as_device, by_put)]

    asked = [ask(client, taken.address, {}).status_code for client, ask in callers]
    refused = by_messenger(as_customer, taken.address, {})
    challenges.push_due("fcm")

    assert asked == [409, 409, 409]
    assert refused.status_code == 429
    assert 3_500 < int(refused.headers["Retry-After"]) <= 3_600
    assert taken.service.deliveries.total == 3


@pytest.mark.django_db(transaction=True)
def test_asked_by_many_at_once_an_address_still_gets_three(
    device: Device, taken: Taken, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    codes = run_at_once(6, lambda: by_put(device_client("till-1", "key-of-till-1"), taken.address, {}).status_code)

    assert sorted(codes) == [409] * 3 + [429] * 3
    assert AddressChallenge.objects.count() == 3


def test_an_hour_later_an_address_may_be_asked_again(as_device: APIClient, taken: Taken) -> None:
    for _ in range(3):
        by_put(as_device, taken.address, {})
    AddressChallenge.objects.update(created_at=F("created_at") - timedelta(hours=1))

    assert by_put(as_device, taken.address, {}).status_code == 409


def test_one_caller_cannot_ask_many_addresses(
    as_device: APIClient, as_customer: APIClient, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(throttles.RATES, "challenge", Rate(per_credential=2, per_address=None))
    others = [taken.service.new_address() for _ in range(3)]
    for address in others:
        by_messenger(as_customer, address, {})

    codes = [by_put(as_device, address, {}).status_code for address in others]

    assert codes == [409, 409, 429]
    assert AddressChallenge.objects.count() == 2


def test_an_mqtt_client_id_is_moved_by_the_old_key_alone(as_device: APIClient, taken: Taken) -> None:
    """A message goes to the device's own topic: only the device before would ever see the code."""
    device_client("till-2", "key-of-till-2").put("/api/v1/devices/till-2/channels/mqtt", {"address": "client-2"})

    refused = as_device.put("/api/v1/devices/till-1/channels/mqtt", {"address": "client-2"})

    assert refused.status_code == 409
    assert isinstance(refused.json()["detail"], str)
    assert not AddressChallenge.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_both_prove_it_at_once_one_gets_the_address(
    as_device: APIClient,
    customer: User,
    taken: Taken,
    run_at_once: Callable[[int, Callable[[], Any]], list[Any]],
) -> None:
    as_customer = person_client(customer)
    callers = [
        (as_device, by_put, taken.ask(as_device)),
        (as_customer, by_messenger, taken.ask(as_customer, by_messenger)),
    ]
    turns = iter(callers)

    def prove() -> tuple[str, int]:
        client, ask, answer = next(turns)
        return ask.__name__, ask(client, taken.address, answer).status_code

    codes = dict(run_at_once(2, prove))

    winner = Channel.objects.get().device
    [won] = [name for name, code in codes.items() if code in (200, 201)]
    assert won == ("by_put" if winner.device_id == "till-1" else "by_messenger")
    assert set(codes.values()) & {409, 422}
    assert AuditLog.objects.filter(action="moved an address").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_proof_twice_at_once_succeeds_twice(
    as_device: APIClient, taken: Taken, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    answer = taken.ask(as_device)

    codes = run_at_once(2, lambda: by_put(device_client("till-1", "key-of-till-1"), taken.address, answer).status_code)

    assert codes == [200, 200]
    assert AuditLog.objects.filter(action="moved an address").count() == 1
