"""The emulated Web Push service: payloads encrypted by pywebpush, VAPID signed with PyJWT."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pywebpush import WebPusher

from simulator.services import EmulatedWebPush, running
from tests.simulator.services.clients import Http2, Https, Reply


class Sender:
    """An application server with its VAPID key and one subscription."""

    def __init__(self, web_push: EmulatedWebPush) -> None:
        self.web_push = web_push
        self.https = Https(web_push.url, web_push.ca_file)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subscription = json.loads(web_push.new_address())

    @property
    def public_key(self) -> str:
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return urlsafe_b64encode(point).rstrip(b"=").decode()

    def vapid(self, **changes: Any) -> str:
        claims = {"aud": self.web_push.url, "exp": int(time.time()) + 3600, "sub": "mailto:ops@example.org", **changes}
        return f"vapid t={jwt.encode(claims, self.key, algorithm='ES256')}, k={self.public_key}"

    def headers(self, **changes: str) -> dict[str, str]:
        usual = {"authorization": self.vapid(), "ttl": "60", "content-encoding": "aes128gcm"}
        return usual | {name.replace("_", "-"): value for name, value in changes.items()}

    def encrypted(self, plain: bytes, keys: dict[str, str] | None = None) -> bytes:
        subscription = {**self.subscription, "keys": keys or self.subscription["keys"]}
        return bytes(WebPusher(subscription).encode(plain, "aes128gcm")["body"])

    def send(self, body: bytes, headers: dict[str, str]) -> Reply:
        return self.https.post(self.subscription["endpoint"], body, headers)


@pytest.fixture
def sender(web_push: EmulatedWebPush) -> Iterator[Sender]:
    each = Sender(web_push)
    with each.https:
        yield each


def test_opens_what_was_encrypted_for_the_subscription(web_push: EmulatedWebPush, sender: Sender) -> None:
    plain = {"message_id": "m-1", "notification": {"title": "Grüße"}}

    reply = sender.send(sender.encrypted(json.dumps(plain).encode()), sender.headers(urgency="high", topic="menu"))

    [accepted] = web_push.accepted()
    assert (reply.status, reply.headers["ttl"]) == (201, "60")
    assert reply.headers["location"].startswith(web_push.url)
    assert (accepted.message_id, accepted.payload) == ("m-1", plain)
    assert (accepted.urgency, accepted.collapse_key, accepted.ttl_s) == ("high", "menu", 60)
    assert accepted.address == sender.subscription["endpoint"]


def test_takes_a_push_without_a_payload(web_push: EmulatedWebPush, sender: Sender) -> None:
    reply = sender.send(b"", {"authorization": sender.vapid(), "ttl": "0"})

    assert reply.status == 201
    assert web_push.accepted()[0].payload is None


def test_speaks_http_2_too(web_push: EmulatedWebPush, sender: Sender) -> None:
    path = sender.subscription["endpoint"].removeprefix(web_push.url)

    with Http2(web_push.port, web_push.ca_file) as client:
        reply = client.ask(path, sender.headers(), sender.encrypted(b"{}"))

    assert reply.status == 201


def test_refuses_what_was_encrypted_for_somebody_else(web_push: EmulatedWebPush, sender: Sender) -> None:
    foreign = json.loads(web_push.new_address())["keys"]

    reply = sender.send(sender.encrypted(b"{}", foreign), sender.headers())

    assert (reply.status, reply.json()["errno"]) == (400, 110)
    assert web_push.summary()["accepted"] == 0


def test_refuses_a_payload_that_was_changed_on_the_way(sender: Sender) -> None:
    body = bytearray(sender.encrypted(b"{}"))
    body[-1] ^= 1

    assert sender.send(bytes(body), sender.headers()).json()["errno"] == 110


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://updates.push.services.mozilla.com"},
        {"exp": 1_600_000_000},
        {"exp": int(time.time()) + 90_000},
        {"sub": "ops"},
    ],
    ids=["another audience", "expired", "more than a day", "no address"],
)
def test_refuses_a_vapid_token_with_wrong_claims(sender: Sender, changes: dict[str, Any]) -> None:
    reply = sender.send(sender.encrypted(b"{}"), sender.headers(authorization=sender.vapid(**changes)))

    assert (reply.status, reply.json()["errno"]) == (401, 109)


@pytest.mark.parametrize("authorization", ["", "Bearer x", "vapid t=x", "vapid t=a.b.c, k=!", "vapid k=t"])
def test_refuses_a_send_without_vapid(sender: Sender, authorization: str) -> None:
    reply = sender.send(sender.encrypted(b"{}"), sender.headers(authorization=authorization))

    assert (reply.status, reply.json()["errno"]) == (401, 109)


def test_refuses_a_vapid_token_signed_with_another_key(sender: Sender) -> None:
    honest = sender.public_key
    sender.key = ec.generate_private_key(ec.SECP256R1())
    forged = sender.vapid().replace(sender.public_key, honest)

    assert sender.send(sender.encrypted(b"{}"), sender.headers(authorization=forged)).status == 401


def test_takes_only_the_key_that_the_subscription_was_made_with(web_push: EmulatedWebPush, sender: Sender) -> None:
    sender.subscription = json.loads(web_push.new_address(application_server_key=sender.public_key))

    mine = sender.send(sender.encrypted(b"{}"), sender.headers())
    sender.key = ec.generate_private_key(ec.SECP256R1())
    foreign = sender.send(sender.encrypted(b"{}"), sender.headers())

    assert (mine.status, foreign.status) == (201, 403)


@pytest.mark.parametrize(
    ("changes", "status", "errno"),
    [
        ({"ttl": "soon"}, 400, 112),
        ({"topic": "t" * 33}, 400, 113),
        ({"topic": "a topic"}, 400, 113),
        ({"content_encoding": "aesgcm"}, 400, 110),
    ],
)
def test_refuses_headers_in_mozillas_words(sender: Sender, changes: dict[str, str], status: int, errno: int) -> None:
    reply = sender.send(sender.encrypted(b"{}"), sender.headers(**changes))

    assert (reply.status, reply.json()["errno"]) == (status, errno)


def test_insists_on_a_ttl(sender: Sender) -> None:
    headers = {name: value for name, value in sender.headers().items() if name != "ttl"}

    assert sender.send(sender.encrypted(b"{}"), headers).json()["errno"] == 111


def test_lowers_a_ttl_that_is_longer_than_it_keeps_anything(sender: Sender) -> None:
    reply = sender.send(sender.encrypted(b"{}"), sender.headers(ttl="9999999"))

    assert (reply.status, reply.headers["ttl"]) == (201, "2592000")


@pytest.mark.parametrize(("plain_bytes", "status"), [(3993, 201), (3994, 413)])
def test_takes_4096_bytes_of_body(sender: Sender, plain_bytes: int, status: int) -> None:
    reply = sender.send(sender.encrypted(b"x" * plain_bytes), sender.headers())

    assert reply.status == status


def test_knows_no_endpoint_that_it_did_not_make(sender: Sender) -> None:
    sender.subscription["endpoint"] = f"{sender.web_push.url}/wpush/v2/{'a' * 22}..{'b' * 22}"

    reply = sender.send(b"", sender.headers())

    assert (reply.status, reply.json()["errno"]) == (404, 102)


def test_says_that_a_subscription_is_gone(web_push: EmulatedWebPush, sender: Sender) -> None:
    web_push.retire([json.dumps(sender.subscription)])

    reply = sender.send(sender.encrypted(b"{}"), sender.headers())

    assert (reply.status, reply.json()["errno"]) == (410, 106)


@pytest.mark.parametrize(("status", "reason", "errno"), [(503, "202", 202), (503, "", 201), (500, "", 999)])
def test_speaks_the_documented_errors(
    web_push: EmulatedWebPush, sender: Sender, status: int, reason: str, errno: int
) -> None:
    web_push.fails_with(status, reason)

    reply = sender.send(sender.encrypted(b"{}"), sender.headers())

    assert (reply.status, reply.json()["errno"]) == (status, errno)


def test_can_point_somewhere_else(web_push: EmulatedWebPush, sender: Sender) -> None:
    web_push.fails_with(307, "https://127.0.0.1/inside")

    reply = sender.send(sender.encrypted(b"{}"), sender.headers())

    assert (reply.status, reply.headers["location"]) == (307, "https://127.0.0.1/inside")


def test_still_knows_its_subscriptions_after_a_restart(tmp_path: Any) -> None:
    with running(EmulatedWebPush(home=tmp_path)) as before:
        subscription, port = json.loads(before.new_address()), before.port

    with running(EmulatedWebPush(home=tmp_path, port=port)) as after:
        sender = Sender(after)
        sender.subscription = subscription
        with sender.https:
            reply = sender.send(sender.encrypted(b"{}"), sender.headers())

    assert reply.status == 201
