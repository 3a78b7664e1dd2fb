import json
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from delivery.models import Channel, Device
from delivery.models.channel import ChannelState
from tests.delivery.api.conftest import person_client

LIST = "/api/v1/messenger/devices"
REGISTER = f"{LIST}/register"
SUBSCRIPTION = json.dumps(
    {"endpoint": "https://fcm.googleapis.com/fcm/send/a%2Fb?c=d", "keys": {"p256dh": "BP", "auth": "ab"}}
)


def register(client: APIClient, token: str = "token-1", **more: Any) -> Any:
    return client.post(REGISTER, {"device_token": token, "platform": "android", "provider": "fcm", **more})


def unregister(client: APIClient, token: str) -> Any:
    return client.delete(f"{LIST}/{quote(token, safe='')}")


def test_registers_once_and_updates_after_that(as_customer: APIClient, customer: User) -> None:
    first, second = register(as_customer), register(as_customer, device_name="My phone")

    channel = Channel.objects.get()
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == {
        "status": "registered",
        "device_token_id": channel.pk,
        "user_id": customer.pk,
        "platform": "android",
    }
    assert second.json() == {**first.json(), "status": "updated"}
    assert (channel.device.owner, channel.device.site, channel.device.has_key) == (customer, None, False)
    assert Device.objects.count() == 1


def test_a_subscription_is_web_push_when_no_provider_is_named(as_customer: APIClient) -> None:
    as_customer.post(REGISTER, {"device_token": SUBSCRIPTION, "platform": "web"})

    assert Channel.objects.get().provider == "web_push"


@pytest.mark.parametrize("token", ["token-1", "a/b:c", SUBSCRIPTION])
def test_unregisters_by_the_token_in_the_path(as_customer: APIClient, token: str) -> None:
    register(as_customer, token, provider="webpush" if token == SUBSCRIPTION else "fcm")

    gone, again = unregister(as_customer, token), unregister(as_customer, token)

    assert (gone.status_code, gone.json()) == (200, {"success": True, "message": "Device unregistered"})
    assert (again.status_code, again.json()["success"]) == (404, False)
    assert Channel.objects.get().state == ChannelState.DISABLED


def test_registers_again_under_the_same_id_after_unregistering(as_customer: APIClient) -> None:
    first = register(as_customer)
    unregister(as_customer, "token-1")

    again = register(as_customer)

    assert again.status_code == 201
    assert again.json() == first.json()
    assert Channel.objects.get().state == ChannelState.ACTIVE


def test_another_persons_token_is_refused_and_cannot_be_unregistered(as_customer: APIClient, technician: User) -> None:
    register(as_customer)
    other = person_client(technician)

    refused, gone = register(other), unregister(other, "token-1")

    assert (refused.status_code, gone.status_code) == (409, 404)
    assert Channel.objects.get().state == ChannelState.ACTIVE
    assert Device.objects.count() == 1


def test_lists_the_active_ones_newest_first_and_never_the_token(as_customer: APIClient) -> None:
    for token in ("secret-1", "secret-2", "secret-3"):
        register(as_customer, token, device_name=f"Phone with {token[-1]}")
    unregister(as_customer, "secret-2")

    response = as_customer.get(LIST)

    found = response.json()["devices"]
    assert [entry["device_name"] for entry in found] == ["Phone with 3", "Phone with 1"]
    assert found[0].keys() == {"id", "platform", "provider", "device_name", "registered_at", "last_used_at"}
    assert "secret" not in response.content.decode()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"device_token": "t"},
        {"device_token": "t", "platform": "ios", "provider": "pigeon"},
        {"device_token": "not hex", "platform": "ios", "provider": "apns"},
        {"device_token": ["t"], "platform": "ios"},
        [],
    ],
)
def test_names_the_field_that_is_wrong(as_customer: APIClient, body: Any) -> None:
    assert as_customer.post(REGISTER, body).status_code == 422
    assert not Device.objects.exists()


@pytest.mark.parametrize("path", ["%00", "a%00b", "%F0%9F%98%80", "..%2F..", "%7B%22", "a" * 5_000])
def test_a_strange_path_is_not_there(as_customer: APIClient, path: str) -> None:
    assert as_customer.delete(f"{LIST}/{path}").status_code == 404


def test_neither_backends_nor_anonymous_ones_have_phones(as_backend: APIClient, anybody: APIClient) -> None:
    assert as_backend.get(LIST).status_code == 403
    assert anybody.get(LIST).status_code == 401
