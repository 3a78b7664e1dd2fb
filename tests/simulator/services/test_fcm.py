"""The emulated FCM against clients that share no code with it."""

import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.transport.requests import Request as GoogleRequest
from google.oauth2 import service_account as google_service_account

from simulator.services import EmulatedFcm
from tests.simulator.services.clients import FCM_SCOPE, Https, Reply, fcm_token, grant, send_path, service_account

TOKEN = "dQw4w9WgXcQ:APA91bSimulatedRegistrationToken"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Sender:
    """An app server with an access token."""

    def __init__(self, fcm: EmulatedFcm) -> None:
        self.fcm = fcm
        self.https = Https(fcm.url, fcm.ca_file)
        self.token = fcm_token(fcm)

    def send(self, message: dict[str, Any], path: str = "", **more: Any) -> Reply:
        content = json.dumps({"message": message, **more})
        return self.https.post(path or send_path(self.fcm), content, {"authorization": f"Bearer {self.token}"})


@pytest.fixture
def sender(fcm: EmulatedFcm) -> Iterator[Sender]:
    each = Sender(fcm)
    with each.https:
        yield each


def own_code(reply: Reply) -> str:
    """FCM's own code in an error, or nothing where it has none."""
    details = reply.json()["error"].get("details", [])
    return "".join(detail["errorCode"] for detail in details if detail["@type"] == FCM_ERROR)


def test_gives_googles_own_library_an_access_token(fcm: EmulatedFcm) -> None:
    credentials = google_service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
        str(fcm.service_account_file), scopes=[FCM_SCOPE]
    )
    with requests.Session() as session:
        session.verify = str(fcm.ca_file)
        session.trust_env = False

        credentials.refresh(GoogleRequest(session=session))

    assert credentials.valid
    assert fcm.summary()["tokens_given"] == 1


def test_refuses_a_grant_signed_with_another_key(fcm: EmulatedFcm) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {**service_account(fcm), "private_key": key.decode()}

    with Https(fcm.url, fcm.ca_file) as client:
        reply = client.form("/token", grant(account))

    assert (reply.status, reply.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": "https://example.org/token"}, "invalid_grant"),
        ({"iss": "somebody@else.example"}, "invalid_grant"),
        ({"exp": 1_600_000_000}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
    ],
)
def test_refuses_a_grant_whose_claims_are_wrong(fcm: EmulatedFcm, changes: dict[str, Any], code: str) -> None:
    with Https(fcm.url, fcm.ca_file) as client:
        reply = client.form("/token", grant(service_account(fcm), **changes))

    assert (reply.status, reply.json()["error"]) == (400, code)


def test_takes_a_message_and_counts_it_by_its_id(fcm: EmulatedFcm, sender: Sender) -> None:
    message = {"token": TOKEN, "data": {"message_id": "m-1", "title": "Hello"}, "android": {"ttl": "60s"}}

    first, second = sender.send(message), sender.send(message)

    assert first.status == 200
    assert first.json()["name"].startswith(f"projects/{fcm.project_id}/messages/")
    assert first.json()["name"] != second.json()["name"]
    assert fcm.times_accepted("m-1") == 2
    assert fcm.accepted()[0].payload == message
    assert fcm.accepted()[0].ttl_s == 60


def test_takes_nothing_that_is_only_to_be_validated(fcm: EmulatedFcm, sender: Sender) -> None:
    reply = sender.send({"token": TOKEN}, validateOnly=True)

    assert reply.status == 200
    assert fcm.summary()["accepted"] == 0


@pytest.mark.parametrize("authorization", ["", "Bearer ya29.forged", "Basic dTpw", "Bearer ya29.1795242192161.00"])
def test_refuses_a_send_without_a_token_that_it_gave(fcm: EmulatedFcm, authorization: str) -> None:
    headers = {"authorization": authorization} if authorization else {}

    with Https(fcm.url, fcm.ca_file) as client:
        reply = client.post(send_path(fcm), json.dumps({"message": {"token": TOKEN}}), headers)

    assert (reply.status, reply.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_says_that_a_token_has_expired_and_gives_a_new_one(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.tokens.expire_all()

    late = sender.send({"token": TOKEN})
    sender.token = fcm_token(fcm)
    again = sender.send({"token": TOKEN})

    assert late.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"
    assert again.status == 200


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"data": {}}, "message"),
        ({"token": TOKEN, "data": {"count": 12}}, "message.data[0].value"),
        ({"token": TOKEN, "android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"token": TOKEN, "android": {"ttl": "soon"}}, "message.android.ttl"),
        ({"token": TOKEN, "android": {"priority": "urgent"}}, "message.android.priority"),
    ],
)
def test_names_the_field_that_is_wrong_and_blames_no_token(sender: Sender, message: dict[str, Any], field: str) -> None:
    reply = sender.send(message)

    [detail] = reply.json()["error"]["details"]
    assert (reply.status, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert detail["fieldViolations"][0]["field"] == field


@pytest.mark.parametrize(
    "message",
    [
        {"token": "short"},
        {"token": TOKEN, "data": {"from": "x"}},
        {"token": TOKEN, "data": {"body": "x" * 4093}},
    ],
    ids=["token of the wrong shape", "reserved key", "4097 bytes"],
)
def test_refuses_with_fcms_own_code(fcm: EmulatedFcm, sender: Sender, message: dict[str, Any]) -> None:
    reply = sender.send(message)

    assert (reply.status, own_code(reply)) == (400, "INVALID_ARGUMENT")
    assert fcm.summary()["accepted"] == 0


def test_takes_a_payload_of_exactly_4096_bytes(sender: Sender) -> None:
    assert sender.send({"token": TOKEN, "data": {"body": "x" * 4092}}).status == 200


def test_does_not_call_a_token_dead_when_the_project_is_wrong(sender: Sender) -> None:
    reply = sender.send({"token": TOKEN}, path="/v1/projects/another/messages:send")

    assert reply.status == 404
    assert own_code(reply) == ""


def test_says_unregistered_for_a_token_that_is_gone(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.retire([TOKEN])

    reply = sender.send({"token": TOKEN})

    assert (reply.status, own_code(reply)) == (404, "UNREGISTERED")


@pytest.mark.parametrize(
    ("status", "reason", "canonical", "code"),
    [
        (404, "UNREGISTERED", "NOT_FOUND", "UNREGISTERED"),
        (403, "SENDER_ID_MISMATCH", "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        (401, "THIRD_PARTY_AUTH_ERROR", "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        (403, "PERMISSION_DENIED", "PERMISSION_DENIED", ""),
        (429, "", "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        (500, "", "INTERNAL", "INTERNAL"),
        (503, "", "UNAVAILABLE", "UNAVAILABLE"),
    ],
)
def test_speaks_the_documented_errors(
    fcm: EmulatedFcm, sender: Sender, status: int, reason: str, canonical: str, code: str
) -> None:
    fcm.fails_with(status, reason)

    reply = sender.send({"token": TOKEN})

    assert (reply.status, reply.json()["error"]["status"], own_code(reply)) == (status, canonical, code)


def test_refuses_a_grant_with_another_algorithm(fcm: EmulatedFcm) -> None:
    assertion = grant(service_account(fcm))["assertion"]
    forged = jwt.encode(jwt.decode(assertion, options={"verify_signature": False}), "k" * 32, algorithm="HS256")

    with Https(fcm.url, fcm.ca_file) as client:
        reply = client.form("/token", {**grant(service_account(fcm)), "assertion": forged})

    assert reply.json()["error"] == "invalid_grant"
