import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.contrib.auth.models import User
from pytest_django import Settings
from rest_framework.test import APIClient

from delivery.models import Channel, Device
from tests.delivery.api.conftest import person_client

URL = "/api/v1/push/subscribe"
SUBSCRIPTION = json.dumps(
    {"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc", "keys": {"p256dh": "BP", "auth": "ab"}}
)


def body(**changed: Any) -> dict[str, Any]:
    return {"platform": "web_push", "device_token": SUBSCRIPTION, "device_info": {"userAgent": "Firefox"}, **changed}


@pytest.fixture
def in_browser(anybody: APIClient, customer: User) -> APIClient:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(customer)
    return client


def test_stores_the_subscription_of_a_signed_in_person(in_browser: APIClient, customer: User) -> None:
    response = in_browser.post(URL, body(), headers={"Origin": "http://testserver"})

    channel = Channel.objects.get()
    answer = response.json()
    assert response.status_code == 201
    assert answer.keys() == {"success", "message", "platform", "device_id", "timestamp"}
    assert (answer["success"], answer["platform"], answer["device_id"]) == (
        True,
        "web_push",
        channel.device.device_id,
    )
    assert channel.device.owner == customer


def test_subscribing_again_changes_nothing_but_the_time(as_customer: APIClient) -> None:
    answers = [as_customer.post(URL, body()).json()["device_id"] for _ in range(2)]

    assert answers[0] == answers[1]
    assert Channel.objects.count() == Device.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_a_session_alone_is_not_enough(in_browser: APIClient, headers: dict[str, str]) -> None:
    response = in_browser.post(URL, body(), headers=headers)

    assert response.status_code == 403
    assert not Channel.objects.exists()


def test_a_device_subscribes_itself_and_no_other(as_device: APIClient, device: Device) -> None:
    own, other = as_device.post(URL, body()), as_device.post(URL, body(device_id="till-2"))

    assert (own.status_code, own.json()["device_id"]) == (201, "till-1")
    assert other.status_code == 403
    assert Channel.objects.get().device == device


def test_makes_the_device_that_a_person_names(as_customer: APIClient, customer: User) -> None:
    response = as_customer.post(URL, body(device_id="my-browser", user_id=customer.pk))

    assert response.json()["device_id"] == "my-browser"
    assert Device.objects.get(device_id="my-browser").owner == customer


def test_a_device_with_a_key_is_attached_by_nobody_else(
    customer: User, make_device: Callable[..., Device], as_customer: APIClient
) -> None:
    make_device("till-9", owner=customer, key="key-of-till-9")

    response = as_customer.post(URL, body(device_id="till-9"))

    assert response.status_code == 403
    assert not Channel.objects.exists()


def test_another_persons_device_or_name_is_refused(as_customer: APIClient, technician: User) -> None:
    person_client(technician).post(URL, body(device_id="tinas-browser"))

    named_device = as_customer.post(URL, body(device_id="tinas-browser"))
    named_person = as_customer.post(URL, body(user_id=technician.pk))

    assert (named_device.status_code, named_person.status_code) == (403, 403)


def test_another_persons_subscription_is_refused(as_customer: APIClient, technician: User) -> None:
    person_client(technician).post(URL, body())

    response = as_customer.post(URL, body())

    assert response.status_code == 409
    assert Device.objects.count() == 1


@pytest.mark.parametrize(
    "changed",
    [{"device_token": "{}"}, {"device_token": "a b", "platform": "fcm"}, {"platform": "pigeon"}],
)
def test_a_bad_address_is_400(as_customer: APIClient, changed: dict[str, str]) -> None:
    response = as_customer.post(URL, body(**changed))

    assert response.status_code == 400
    assert response.json()["status_code"] == 400
    assert not Device.objects.exists()


def test_without_any_proof_it_is_401(anybody: APIClient, as_backend: APIClient) -> None:
    assert anybody.post(URL, body()).status_code == 401
    assert as_backend.post(URL, body()).status_code == 403


def test_says_that_web_push_is_not_configured(anybody: APIClient, settings: Settings) -> None:
    settings.PROVIDERS = {}

    response = anybody.get("/api/v1/push/vapid-public-key")

    assert response.status_code == 503
    assert response.json() == {"detail": "Web Push is not configured on this server", "status_code": 503}


def test_tells_browsers_the_key_to_subscribe_with(anybody: APIClient, settings: Settings) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    settings.PROVIDERS = {"web_push": {"default": {"private_key": pem, "subject": "mailto:ops@homepot.example"}}}

    response = anybody.get("/api/v1/push/vapid-public-key")

    assert response.status_code == 200
    assert response.json().keys() == {"publicKey", "platform", "timestamp"}
    assert response.json()["publicKey"] == base64.urlsafe_b64encode(point).decode().rstrip("=")
    assert response.json()["platform"] == "web_push"


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/x",
        "https://evil.example/x",
        "https://updates.push.services.mozilla.com:8443/x",
        "https://[::1]/x",
    ],
)
def test_where_web_push_is_configured_an_endpoint_elsewhere_is_400(
    as_customer: APIClient, settings: Settings, endpoint: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    settings.PROVIDERS = {"web_push": {"default": {"private_key": pem, "subject": "mailto:ops@homepot.example"}}}
    subscription = {"endpoint": endpoint, "keys": {"p256dh": "BP", "auth": "ab"}}

    response = as_customer.post(URL, body(device_token=json.dumps(subscription)))

    assert response.status_code == 400
    assert "the URL" in response.json()["detail"]
