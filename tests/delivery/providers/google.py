"""Google as FCM's tests need it: both endpoints on one local server, and its error envelope."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.outcomes import Outcome
from delivery.priority import Priority
from delivery.providers.base import Message
from delivery.providers.fcm import Fcm
from delivery.providers.fcm_token import ServiceAccount
from tests.delivery.providers.local_servers import Http1Server, Received, Reply, authority

KEY = rsa.generate_private_key(65537, 2048)
PRIVATE_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MESSAGE = Message(
    message_id="0193a1b2-0000-7000-8000-000000000001",
    device_id="till-1",
    address="fGz1:APA91bXYZ",
    content={"title": "Update", "body": "2.1 is there", "data": {"version": 2.1}},
    priority=Priority.HIGH,
    sent_at=NOW,
    ttl_s=3600,
    ack_token="secret-ack",
    ack_url="https://push.example/api/v1/push/ack",
)
ACCEPTED = Reply(body=b'{"name":"projects/homepot-test/messages/0:1%2"}')

Answer = Callable[[Received], Reply]


class Google(Http1Server):
    """Both endpoints: tokens `token-1`, `token-2`, ... and whatever `answer` says to a message."""

    def __init__(self, answer: Answer = lambda _: ACCEPTED, *, token: Answer | None = None) -> None:
        super().__init__(self._route, tls=True)
        self._to_message = answer
        self._to_token_request = token or self._next_token
        self.token_requests: list[Received] = []
        self.messages: list[Received] = []

    def _route(self, request: Received) -> Reply:
        if request.path == "/token":
            self.token_requests.append(request)
            return self._to_token_request(request)
        self.messages.append(request)
        return self._to_message(request)

    def _next_token(self, _: Received) -> Reply:
        content = {"access_token": f"token-{len(self.token_requests)}", "expires_in": 3599, "token_type": "Bearer"}
        return Reply(body=json.dumps(content).encode())


def account_file(folder: Path, google: Google | None, **changes: Any) -> str:
    content = {
        "type": "service_account",
        "project_id": "homepot-test",
        "private_key_id": "key-1",
        "private_key": PRIVATE_PEM,
        "client_email": "push@homepot-test.iam.gserviceaccount.com",
        "token_uri": f"{google.url}/token" if google else "https://127.0.0.1:1/token",
    }
    file = folder / "account.json"
    file.write_text(json.dumps({**content, **changes}))
    return str(file)


def fcm(google: Google, folder: Path, **options: Any) -> Fcm:
    """The provider under test, for `google`; `options` go over its arguments."""
    account = ServiceAccount.from_file(account_file(folder, google))
    arguments: dict[str, Any] = {"clock": lambda: NOW, "url": google.url, **options}
    return Fcm(account, project_id="homepot-test", ca_file=authority().ca_file, **arguments)


def send(provider: Fcm, *batches: Sequence[Message]) -> list[Outcome]:
    """Outcomes of all batches, one after the other on the same loop."""

    async def all_of_them() -> list[Outcome]:
        try:
            return [outcome for batch in batches for outcome in await provider.send(batch)]
        finally:
            await provider.aclose()

    return asyncio.run(all_of_them())


def google_error(status: int, canonical: str, *details: dict[str, Any], message: str = "Some words.") -> Reply:
    content = {"error": {"code": status, "message": message, "status": canonical, "details": list(details)}}
    return Reply(status, json.dumps(content).encode())


def fcm_error(code: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}


def bad_request(*fields: str) -> dict[str, Any]:
    violations = [{"field": field, "description": "Invalid."} for field in fields]
    return {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}


def quota_failure(*subjects: str) -> dict[str, Any]:
    violations = [{"subject": subject, "description": "Exceeded."} for subject in subjects]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}
