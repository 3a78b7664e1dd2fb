from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from delivery.models import AuditLog, Channel, Device, Site
from delivery.models.channel import ChannelState
from tests.delivery.api.conftest import device_client, person_client

SUBSCRIPTION = (
    '{"endpoint":"https://updates.push.services.mozilla.com/wpush/v2/abc","keys":{"p256dh":"BPx","auth":"abc"}}'
)


def put(client: APIClient, address: str, provider: str = "fcm", device_id: str = "till-1", **more: Any) -> Any:
    return client.put(f"/api/v1/devices/{device_id}/channels/{provider}", {"address": address, **more})


@pytest.fixture
def other(other_site: Site, make_device: Callable[..., Device]) -> Device:
    return make_device("till-2", other_site, key="key-of-till-2")


def test_makes_a_channel_and_updates_it_the_next_time(as_device: APIClient, device: Device) -> None:
    first, second = put(as_device, "token-1"), put(as_device, "token-1", rank=3)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.json().keys() == {
        "id", "device_id", "provider", "credential", "rank", "environment", "state", "address", "registered_at",
        "last_used_at",
    }  # fmt: skip
    assert (second.json()["rank"], second.json()["state"]) == (3, "active")
    assert Channel.objects.count() == 1


def test_never_shows_the_address(as_device: APIClient) -> None:
    response = put(as_device, "a-long-secret-address-of-this-device")

    assert "secret" not in response.content.decode()


def test_a_new_address_replaces_the_old_one_at_its_rank(as_device: APIClient, device: Device) -> None:
    put(as_device, "token-1", rank=2)

    response = put(as_device, "token-2")

    assert response.json()["rank"] == 2
    old = Channel.objects.get(address="token-1")
    assert (old.state, old.disabled_code) == (ChannelState.DISABLED, "replaced")


def test_a_second_provider_stands_behind_the_first(as_device: APIClient) -> None:
    ranks = [put(as_device, "token-1").json()["rank"], put(as_device, "client-1", "mqtt").json()["rank"]]

    assert ranks == [0, 1]


@pytest.mark.parametrize("state", [ChannelState.DISABLED, ChannelState.PARKED, ChannelState.ARCHIVED])
def test_registering_again_brings_a_channel_back(as_device: APIClient, state: ChannelState) -> None:
    put(as_device, "token-1")
    Channel.objects.update(state=state, disabled_code="UNREGISTERED", disabled_by="fcm")

    put(as_device, "token-1")

    channel = Channel.objects.get()
    assert (channel.state, channel.disabled_code, channel.disabled_by) == (ChannelState.ACTIVE, "", "")


@pytest.fixture
def two_apps(settings: LazySettings) -> None:
    settings.PROVIDERS = {"fcm": {"default": {}, "kiosk": {}}}


def test_a_channel_names_its_credential(as_device: APIClient, two_apps: None) -> None:
    response = put(as_device, "token-1", credential="kiosk")

    assert (response.status_code, response.json()["credential"]) == (201, "kiosk")
    assert Channel.objects.get().credential == "kiosk"


def test_a_channel_that_names_none_has_the_default_one(as_device: APIClient, two_apps: None) -> None:
    assert put(as_device, "token-1").json()["credential"] == "default"


def test_an_unknown_credential_is_refused_with_the_names_that_there_are(as_device: APIClient, two_apps: None) -> None:
    response = put(as_device, "token-1", credential="kisok")

    assert response.status_code == 422
    assert response.json()["detail"] == {"credential": ["No such credential of fcm. Known are: default, kiosk"]}
    assert not Channel.objects.exists()


def test_a_new_address_that_names_no_credential_keeps_that_of_the_old_one(as_device: APIClient, two_apps: None) -> None:
    put(as_device, "token-1", credential="kiosk")

    again, rotated = put(as_device, "token-1"), put(as_device, "token-2")

    assert (again.json()["credential"], rotated.json()["credential"]) == ("kiosk", "kiosk")


def test_an_address_moves_to_the_credential_that_is_named(as_device: APIClient, two_apps: None) -> None:
    put(as_device, "token-1", credential="kiosk")

    assert put(as_device, "token-1", credential="default").json()["credential"] == "default"
    assert Channel.objects.count() == 1


@pytest.mark.parametrize("alias", ["fcm_linux", "fcm_android"])
def test_reads_the_old_spellings_of_providers(as_device: APIClient, alias: str) -> None:
    assert put(as_device, "token-1", alias).json()["provider"] == "fcm"


def test_an_unknown_provider_is_not_there(as_device: APIClient) -> None:
    assert put(as_device, "token-1", "pigeon").status_code == 404


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("fcm", ""),
        ("fcm", "two words"),
        ("fcm", "a\r\nX-Header: b"),
        ("fcm", "ä"),
        ("fcm", "a" * 4_097),
        ("apns", "zz" * 32),
        ("apns", "ab" * 15),
        ("apns", "abc" * 21),
        ("wns", "https://evil.example/notify.windows.com"),
        ("wns", "https://notify.windows.com.evil.example/"),
        ("wns", "http://db5.notify.windows.com/"),
        ("wns", "https://user@db5.notify.windows.com/"),
        ("wns", "https://evil.example\\.notify.windows.com/"),
        ("wns", "https://[::1/"),
        ("web_push", "not json"),
        ("web_push", "[" * 2_000),
        ("web_push", "[]"),
        ("web_push", '{"endpoint": "https://a.example/"}'),
        ("web_push", '{"endpoint": "http://a.example/", "keys": {"p256dh": "a", "auth": "b"}}'),
        ("web_push", '{"endpoint": "https://a.example/", "keys": {"p256dh": "a b", "auth": "b"}}'),
        ("web_push", '{"endpoint": 5, "keys": {"p256dh": "a", "auth": "b"}}'),
        ("mqtt", "two words"),
        ("mqtt", "a" * 256),
    ],
)
def test_refuses_what_cannot_be_an_address(as_device: APIClient, provider: str, address: str) -> None:
    response = put(as_device, address, provider)

    assert response.status_code == 422
    assert response.json()["detail"].keys() == {"address"}
    assert not Channel.objects.exists()


def test_one_subscription_in_two_spellings_is_one_channel(as_device: APIClient) -> None:
    spaced = SUBSCRIPTION.replace(":{", ": {").replace('"keys"', '"expirationTime":null, "keys"')

    codes = [put(as_device, text, "web_push").status_code for text in (SUBSCRIPTION, spaced)]

    assert codes == [201, 200]


def test_a_push_finds_a_subscription_in_any_spelling(
    as_device: APIClient, as_technician: APIClient, technician: User
) -> None:
    put(as_device, SUBSCRIPTION, "web_push")
    spaced = SUBSCRIPTION.replace(",", " , ")

    response = as_technician.post(
        "/api/v1/push/send", {"platform": "webpush", "device_token": spaced, "title": "T", "body": "B"}
    )

    assert response.json()["success"] is True


@pytest.mark.parametrize(
    "capabilities",
    [
        {"has_gms": "yes"},
        {"fcm_token": 5},
        {"mqtt_client_id": "a b"},
        {"mqtt_client_id": 5},
        {"nested": {"a": 1}},
        {str(number): 1 for number in range(51)},
        {"a" * 51: 1},
        [],
        "text",
    ],
)
def test_refuses_capabilities_that_routing_cannot_read(as_device: APIClient, capabilities: Any) -> None:
    response = put(as_device, "token-1", capabilities=capabilities)

    assert response.status_code == 422
    assert not Channel.objects.exists()


def test_capabilities_add_up(as_device: APIClient, device: Device) -> None:
    put(as_device, "token-1", capabilities={"has_gms": True, "camera": "2 MP"})

    put(as_device, "token-1", capabilities={"has_gms": False})

    device.refresh_from_db()
    assert device.capabilities == {"has_gms": False, "camera": "2 MP"}


def test_an_mqtt_client_id_makes_sure_of_an_mqtt_channel(as_device: APIClient) -> None:
    for _ in range(2):
        put(as_device, "token-1", capabilities={"mqtt_client_id": "till-1"})

    found = [(channel.provider, channel.address, channel.rank) for channel in Channel.objects.order_by("rank")]
    assert found == [("fcm", "token-1", 0), ("mqtt", "till-1", 1)]


def test_someone_elses_address_is_refused_without_saying_whose_it_is(as_device: APIClient, other: Device) -> None:
    put(device_client("till-2", "key-of-till-2"), "token-1", device_id="till-2")

    response = put(as_device, "token-1")

    assert response.status_code == 409
    assert "till-2" not in response.content.decode()
    assert Channel.objects.get().device == other


def test_someone_elses_mqtt_client_id_is_refused_and_nothing_is_changed(as_device: APIClient, other: Device) -> None:
    put(device_client("till-2", "key-of-till-2"), "client-2", "mqtt", "till-2")

    response = put(as_device, "token-1", capabilities={"mqtt_client_id": "client-2"})

    assert response.status_code == 409
    assert Channel.objects.count() == 1


def test_the_old_devices_key_moves_an_address_and_the_audit_log_says_so(
    as_device: APIClient, device: Device, other: Device
) -> None:
    put(device_client("till-2", "key-of-till-2"), "token-1", device_id="till-2")

    response = put(as_device, "token-1", proof={"device_id": "till-2", "api_key": "key-of-till-2"})

    assert response.status_code == 200
    assert Channel.objects.get().device == device
    note = AuditLog.objects.get(action="moved an address")
    assert (note.actor, note.details) == ("device:till-1", {"to": "till-1"})


def test_a_wrong_proof_moves_nothing(as_device: APIClient, other: Device) -> None:
    put(device_client("till-2", "key-of-till-2"), "token-1", device_id="till-2")

    response = put(as_device, "token-1", proof={"device_id": "till-2", "api_key": "guess"})

    assert response.status_code == 422
    assert Channel.objects.get().device == other


def test_whoever_manages_both_devices_moves_an_address(
    as_technician: APIClient, technician: User, device: Device, other: Device
) -> None:
    put(device_client("till-2", "key-of-till-2"), "token-1", device_id="till-2")
    refused = put(as_technician, "token-1")
    technician.sites.add(Site.objects.get(site_id="hamburg-1"))

    moved = put(as_technician, "token-1")

    assert (refused.status_code, moved.status_code) == (409, 200)
    assert Channel.objects.get().device == device


def test_another_devices_channels_are_not_there(as_device: APIClient, other: Device) -> None:
    assert put(as_device, "token-1", device_id="till-2").status_code == 404
    assert put(as_device, "token-1", device_id="till-3").status_code == 404


def test_an_owner_registers_for_their_own_phone_and_not_for_a_device_with_a_key(
    customer: User, make_device: Callable[..., Device]
) -> None:
    make_device("phone", owner=customer)
    make_device("till-9", owner=customer, key="key-of-till-9")

    answers = [put(person_client(customer), "token-1", device_id=name).status_code for name in ("phone", "till-9")]

    assert answers == [201, 404]


@pytest.mark.django_db(transaction=True)
def test_the_same_address_at_once_is_one_channel(
    device: Device, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    responses = run_at_once(6, lambda: put(device_client("till-1", "key-of-till-1"), "token-1"))

    assert sorted(response.status_code for response in responses) == [200] * 5 + [201]
    assert Channel.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_devices_that_want_one_address_at_once_one_gets_it(
    device: Device, other: Device, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    names = iter(["till-1", "till-2"])

    def register() -> Any:
        name = next(names)
        return put(device_client(name, f"key-of-{name}"), "token-1", device_id=name).status_code

    assert sorted(run_at_once(2, register)) == [201, 409]
