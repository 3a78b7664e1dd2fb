from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth.models import User
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from delivery.api import callers
from delivery.models import ApiKey, Device
from delivery.models.device import Lifecycle
from tests.delivery.api.conftest import device_client

STATUS = "/api/v1/agent/till-1/status"
HEARTBEAT = "/api/v1/agent/heartbeat"
DEVICES = "/api/v1/devices"


@pytest.mark.parametrize("wish", [{"headers": {"Accept": "text/html"}}, {"query_params": {"format": "xml"}}])
def test_answers_json_whatever_the_caller_would_rather_have(as_technician: APIClient, wish: dict[str, Any]) -> None:
    response = as_technician.get("/api/v1/sites", **wish)

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("headers", [{}, {"X-Device-ID": "till-1"}, {"X-API-Key": "key-of-till-1"}])
def test_missing_headers_are_401_in_the_words_that_agents_know(
    anybody: APIClient, device: Device, headers: dict[str, str]
) -> None:
    response = anybody.post(HEARTBEAT, {"device_id": "till-1"}, headers=headers)

    assert response.status_code == 401
    assert response.json() == {"detail": "Missing X-API-Key or X-Device-ID header", "status_code": 401}


@pytest.mark.parametrize(
    ("device_id", "key"),
    [
        ("till-1", "wrong"),
        ("till-2", "key-of-till-1"),
        ("till-1\x00", "key-of-till-1"),
        ("a" * 5_000, "key-of-till-1"),
        ("tïll", "kéy"),
    ],
)
def test_a_wrong_id_and_a_wrong_key_answer_alike(device: Device, device_id: str, key: str) -> None:
    response = device_client(device_id, key).get(STATUS)

    assert response.status_code == 401
    assert response.json() == {"detail": "Wrong X-API-Key or X-Device-ID", "status_code": 401}


def test_a_device_without_a_key_has_no_way_in(device: Device) -> None:
    Device.objects.update(key_hash="")

    assert device_client("till-1", "").get(STATUS).status_code == 401
    assert device_client("till-1", "x").get(STATUS).status_code == 401


@pytest.mark.parametrize("lifecycle", [Lifecycle.SUSPENDED, Lifecycle.RETIRED])
def test_a_suspended_or_retired_device_is_told_so(as_device: APIClient, device: Device, lifecycle: Lifecycle) -> None:
    Device.objects.update(lifecycle=lifecycle)

    response = as_device.get(STATUS)

    assert response.status_code == 403
    assert response.json() == {"detail": f"This device is {lifecycle}", "status_code": 403}


def test_the_first_use_of_a_key_is_noted_once_and_makes_the_device_active(as_device: APIClient, device: Device) -> None:
    as_device.get(STATUS)
    device.refresh_from_db()
    first = device.key_used_at

    as_device.get(STATUS)

    device.refresh_from_db()
    assert first is not None
    assert (device.key_used_at, device.lifecycle) == (first, Lifecycle.ACTIVE)


def test_a_backend_does_what_its_scopes_say(anybody: APIClient, device: Device) -> None:
    keys = {
        name: ApiKey.objects.issue(name, scopes) for name, scopes in (("r", ["devices:read"]), ("w", ["jobs:write"]))
    }

    codes = {name: anybody.get(DEVICES, headers=bearer(key)).status_code for name, key in keys.items()}

    assert codes == {"r": 200, "w": 403}
    assert anybody.post("/api/v1/devices/till-1/key", headers=bearer(keys["r"])).status_code == 403


def test_a_revoked_backend_key_is_worth_nothing(anybody: APIClient) -> None:
    key = ApiKey.objects.issue("r", ["devices:read"])
    ApiKey.objects.update(revoked_at=datetime.now(UTC))

    assert anybody.get(DEVICES, headers=bearer(key)).status_code == 401


@pytest.mark.parametrize(
    "token",
    ["", "hpk_", "hpk_wrong", "nonsense", "a.b.c", "..", "ä", "a b", "a" * 9_000, "\x00", "eyJhbGciOiJub25lIn0.e30."],
)
def test_a_wrong_bearer_is_401(anybody: APIClient, token: str) -> None:
    response = anybody.get(DEVICES, HTTP_AUTHORIZATION=f"Bearer {token}")

    assert response.status_code == 401
    assert response.json() == {"detail": "Wrong or expired bearer token", "status_code": 401}
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_needs_a_csrf_token_to_write(technician: User, device: Device) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(technician)

    assert client.get(DEVICES).status_code == 200
    assert client.post("/api/v1/devices/till-1/key").status_code == 403


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b"]
)
def test_a_form_that_cannot_be_read_is_no_fault_of_ours(technician: User, device: Device, content_type: str) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(technician)

    response = client.generic("POST", "/api/v1/devices/till-1/key", "--b\r\nrubbish", content_type=content_type)

    assert response.status_code in (400, 403)
    assert response.json()["status_code"] == response.status_code


def test_a_person_who_left_has_no_way_in(anybody: APIClient, technician: User) -> None:
    token = AuthToken.objects.create(user=technician)[1]
    User.objects.update(is_active=False)

    assert anybody.get(DEVICES, headers=bearer(token)).status_code == 401


@pytest.fixture
def issuer(settings: Settings, tmp_path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "issuer.pem"
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    settings.JWT_ISSUER, settings.JWT_KEY_FILE = "https://id.example", str(file)
    callers._issuer_key.cache_clear()
    return key


def claims(**changed: Any) -> dict[str, Any]:
    return {
        "iss": "https://id.example",
        "sub": "tina",
        "exp": datetime.now(UTC) + timedelta(minutes=5),
        **changed,
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_takes_a_token_of_the_configured_issuer(
    anybody: APIClient, technician: User, issuer: ec.EllipticCurvePrivateKey
) -> None:
    token = jwt.encode(claims(aud="someone"), issuer, algorithm="ES256")

    assert anybody.get(DEVICES, headers=bearer(token)).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"sub": "nobody"},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"nbf": datetime(2100, 1, 1, tzinfo=UTC)},
        {"sub": None},
        {"exp": None},
    ],
)
def test_refuses_other_tokens_of_the_issuer(
    anybody: APIClient, technician: User, issuer: ec.EllipticCurvePrivateKey, changed: dict[str, Any]
) -> None:
    said = {key: value for key, value in claims(**changed).items() if value is not None}

    response = anybody.get(DEVICES, headers=bearer(jwt.encode(said, issuer, algorithm="ES256")))

    assert response.status_code == 401


def test_refuses_tokens_that_the_issuer_did_not_sign(
    anybody: APIClient, technician: User, issuer: ec.EllipticCurvePrivateKey
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    tokens = [
        jwt.encode(claims(), stranger, algorithm="ES256"),
        jwt.encode(claims(), "a-shared-secret-of-32-characters!!", algorithm="HS256"),
        jwt.encode(claims(), "", algorithm="none"),
    ]

    assert [anybody.get(DEVICES, headers=bearer(token)).status_code for token in tokens] == [401, 401, 401]


def test_without_an_issuer_no_jwt_counts(anybody: APIClient, technician: User) -> None:
    token = jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")

    assert anybody.get(DEVICES, headers=bearer(token)).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_the_first_use_at_once_is_noted_once(
    device: Device, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    codes = run_at_once(4, lambda: device_client("till-1", "key-of-till-1").get(STATUS).status_code)

    assert codes == [200] * 4
