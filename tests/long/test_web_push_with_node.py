"""Web Push encryption across implementations: ours read by Node's `http_ece`, Node's `web-push` read by our service."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.priority import Priority
from delivery.providers.base import Message
from delivery.providers.egress import rule
from delivery.providers.web_push import PUSH_SERVICES, WebPush
from delivery.providers.web_push_message import encrypted, parse_subscription, payload
from simulator.services import EmulatedWebPush, running
from tests.delivery.providers.browser import Browser, base64url, point_of, unbase64url
from tests.long.conftest import Node

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

UNICODE = "Ofen 3 läuft über 🔥 \u202eשלום\u202c\x00 ''\"<>&"
RANDOM = 46
SEED = 8291
MAX_BODY_BYTES = 4096
"""What a push service must take (RFC 8030)."""


def bytes_of(content: dict[str, str]) -> bytes:
    """What a push carries for an order with this content."""
    message = Message(
        message_id="0190a5b6-0000-7000-8000-000000000001",
        device_id="till-1",
        address="",
        content=content,
        priority=Priority.HIGH,
        sent_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        ttl_s=300,
        ack_token="proof",
        ack_url="https://push.example/api/v1/push/ack",
    )
    return payload(message)


def plaintexts() -> list[bytes]:
    """An order without content, one in many scripts, the longest and the shortest there is, and random bytes."""
    source = random.Random(SEED)
    longest = source.randbytes(WebPush.max_payload_bytes)
    sampled = [source.randbytes(source.randint(1, WebPush.max_payload_bytes)) for _ in range(RANDOM)]
    return [bytes_of({}), bytes_of({"title": UNICODE, "body": UNICODE}), longest, b"\x00", *sampled]


def encrypted_for(browser: Browser, plains: list[bytes]) -> list[bytes]:
    address = browser.address("https://fcm.googleapis.com/fcm/send/one")
    subscription = parse_subscription(address, rule({}, PUSH_SERVICES))
    return [encrypted(subscription, plain) for plain in plains]


def opened(node: Node, browser: Browser, bodies: list[bytes]) -> list[bytes | None]:
    answers = node.ask(
        "open_push.mjs",
        private_key=scalar(browser.key),
        secret=base64url(browser.secret),
        bodies=[base64url(body) for body in bodies],
    )
    return [None if answer is None else unbase64url(answer) for answer in answers]


def scalar(key: ec.EllipticCurvePrivateKey) -> str:
    return base64url(key.private_numbers().private_value.to_bytes(32))


def test_node_opens_with_the_browsers_keys_what_we_encrypt(node: Node) -> None:
    browser, plains = Browser(), plaintexts()

    bodies = encrypted_for(browser, plains)

    assert opened(node, browser, bodies) == plains
    assert (len(bodies), max(map(len, bodies))) == (50, MAX_BODY_BYTES)


def test_node_does_not_open_what_is_for_another_browser(node: Node) -> None:
    bodies = encrypted_for(Browser(), [b"for one alone"])

    assert opened(node, Browser(), bodies) == [None]


def test_our_service_opens_what_nodes_web_push_library_sends(node: Node, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    vapid = {"subject": "mailto:ops@example.com", "publicKey": base64url(point_of(key)), "privateKey": scalar(key)}
    texts = ["x", UNICODE, "y" * WebPush.max_payload_bytes]

    with running(EmulatedWebPush(home=tmp_path)) as service:
        address = service.new_address(application_server_key=vapid["publicKey"])
        statuses = node.ask(
            "send_push.mjs",
            subscription=json.loads(address),
            texts=texts,
            options={"vapidDetails": vapid, "TTL": 60, "urgency": "high", "topic": "menu"},
            ca=service.ca_file.read_text(),
        )
        accepted = service.accepted()

    assert statuses == [201, 201, 201]
    assert [each.payload for each in accepted] == texts
    assert {(each.ttl_s, each.urgency, each.collapse_key) for each in accepted} == {(60, "high", "menu")}
