"""Apple as the APNs tests need it: answers, a key, a message, and the provider under test."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.outcomes import Outcome, OutcomeKind
from delivery.priority import Priority
from delivery.providers.apns import Apns
from delivery.providers.base import Message
from tests.delivery.providers.local_servers import Http2Server, Received, Reply, authority

KEY = ec.generate_private_key(ec.SECP256R1())
ADDRESS = "a1" * 32
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MESSAGE = Message(
    message_id="0193a1b2-0000-7000-8000-000000000001",
    device_id="till-1",
    address=ADDRESS,
    content={"title": "Update", "body": "2.1 is there", "data": {"version": "2.1"}},
    priority=Priority.HIGH,
    sent_at=NOW,
    ttl_s=3600,
    ack_token="secret-ack",
    ack_url="https://push.example/api/v1/push/ack",
)


def like_apple(request: Received) -> Reply:
    return Reply(headers={"apns-id": request.headers["apns-id"]})


def refusal(status: int, reason: str, **more: Any) -> Callable[[Received], Reply]:
    return lambda _: Reply(status, json.dumps({"reason": reason, **more}).encode())


def apns(url: str, **options: Any) -> Apns:
    arguments: dict[str, Any] = {
        "key": KEY,
        "key_id": "KEY1234567",
        "team_id": "TEAM123456",
        "topic": "org.homepot.agent",
        "url": url,
        "sandbox_url": "https://127.0.0.1:1",
        "ca_file": authority().ca_file,
        "clock": lambda: NOW,
    }
    return Apns(**{**arguments, **options})


def send(provider: Apns, messages: Sequence[Message]) -> list[Outcome]:
    async def once() -> list[Outcome]:
        try:
            return await provider.send(messages)
        finally:
            await provider.aclose()

    return asyncio.run(once())


def sent(message: Message) -> Received:
    """What APNs sees of a message that it takes."""
    with Http2Server(like_apple) as server:
        [outcome] = send(apns(server.url), [message])
    assert outcome.kind is OutcomeKind.ACCEPTED
    [request] = server.received
    return request


def outcome_of(answer: Callable[[Received], Reply]) -> Outcome:
    with Http2Server(answer) as server:
        [outcome] = send(apns(server.url), [MESSAGE])
    return outcome


def config(folder: Path) -> dict[str, Any]:
    """A credential's settings, but for the URL."""
    key_file = folder / "AuthKey.p8"
    key_file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {
        "key_file": str(key_file),
        "key_id": "KEY1234567",
        "team_id": "TEAM123456",
        "topic": "org.homepot.agent",
        "ca_file": authority().ca_file,
    }
