"""Windows Push Notification Services: two token endpoints and channel URIs, HTTP/1.1 only.

API:    https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/push-request-response-headers
Entra:  https://learn.microsoft.com/windows/apps/windows-app-sdk/notifications/push-notifications/push-quickstart
(read 2026-11-21)

Of a device that is away it keeps one toast, tile and badge each, and one raw message where the sender asks for it.
"""

import html
import json
import re
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from simulator.services.access_tokens import AccessTokens, TokenState
from simulator.services.deliveries import Accepted, Keeps
from simulator.services.service import EmulatedService, http_wait
from simulator.services.tls import write_private
from simulator.services.wire import Answer, Request, json_answer

MAX_PAYLOAD_BYTES = 5000
MAX_TTL_S = 2_592_000
TOKEN_LIFE_S = 86_400
CONTENT_TYPES = {"wns/toast": "text/xml", "wns/tile": "text/xml", "wns/badge": "text/xml"} | {
    "wns/raw": "application/octet-stream"
}
MESSAGE_ID = re.compile(r"\bmessage_id\W{1,8}([0-9A-Za-z-]{8,64})")
TAG = re.compile(r"[0-9A-Za-z]{1,16}")
DEFAULT_REASON = {
    400: "One or more headers were specified incorrectly.",
    401: "The token is not valid.",
    403: "The token does not belong to the app of this channel.",
    404: "The channel URI is not recognized.",
    405: "Only POST is allowed.",
    406: "The throttle limit was exceeded.",
    410: "The channel expired.",
    413: "The payload exceeds 5000 bytes.",
}
STATUS_WORDS = frozenset({"received", "dropped", "channelthrottled"})


class EmulatedWns(EmulatedService):
    """`credentials_file` is JSON: `tenant_id`, `client_id`, `client_secret` and, for live.com, `package_sid`."""

    name: ClassVar[str] = "wns"
    protocols: ClassVar[tuple[str, ...]] = ("http/1.1",)
    keeps: ClassVar[Keeps] = Keeps(plain=0, collapsed=4)

    @property
    def credentials_file(self) -> Path:
        return self.home / "wns-credentials.json"

    @property
    def entra_token_url(self) -> str:
        return f"{self.url}/{self.credentials['tenant_id']}/oauth2/v2.0/token"

    @property
    def live_token_url(self) -> str:
        return f"{self.url}/accesstoken.srf"

    def write_credentials(self) -> None:
        if not self.credentials_file.exists():
            credentials = {
                "tenant_id": str(uuid.uuid4()),
                "client_id": str(uuid.uuid4()),
                "client_secret": secrets.token_urlsafe(32),
                "package_sid": f"ms-app://s-1-15-2-{secrets.randbelow(2**31)}-{secrets.randbelow(2**31)}",
            }
            write_private(self.credentials_file, json.dumps(credentials, indent=2).encode())
        self.credentials: dict[str, str] = json.loads(self.credentials_file.read_bytes())
        self.tokens = AccessTokens("EgA", self.credentials["client_secret"].encode(), TOKEN_LIFE_S)

    def describe(self) -> dict[str, str]:
        return {
            "credentials_file": str(self.credentials_file),
            "entra_token_url": self.entra_token_url,
            "live_token_url": self.live_token_url,
        }

    def new_address(self) -> str:
        return f"{self.url}/w/?token={secrets.token_urlsafe(48)}"

    def key_of(self, address: str) -> str:
        """Without scheme, host and port: those are how one reaches the service, not who is meant."""
        parts = urlsplit(address)
        return f"{self.url}{parts.path}?{parts.query}"

    def address_of(self, request: Request) -> str | None:
        return self.key_of(request.path) if request.path.startswith("/w/") else None

    def judge(self, request: Request) -> Accepted | Answer:
        if not request.path.startswith("/w/"):
            return self._give_token(request)
        status = self._refused(request)
        if status:
            return self.refusal(status, "", request)
        return self._accepted(request)

    def thanks(self, request: Request, accepted: Accepted) -> Answer:
        return Answer(status=200, headers=self._headers(request, "received", accepted.provider_message_id))

    def summary(self) -> dict[str, Any]:
        return {**super().summary(), "tokens_given": self.tokens.given}

    def refusal(self, status: int, reason: str, request: Request) -> Answer:
        """For 200, `reason` is the X-WNS-Status: `dropped` or `channelthrottled`."""
        if reason in STATUS_WORDS:
            return Answer(status=status, headers=self._headers(request, reason))
        description = reason or DEFAULT_REASON.get(status, "The server is currently unavailable.")
        headers = {**self._headers(request, "dropped"), "x-wns-error-description": description}
        if status == 401:
            headers["www-authenticate"] = 'Bearer error="invalid_token"'
        return Answer(status=status, headers=headers)

    def waiting(self, answer: Answer, retry_after: str) -> Answer:
        """Whole seconds go into X-WNS-CONTINUE-AFTER, every other form into Retry-After."""
        if not retry_after.isdecimal():
            return super().waiting(answer, retry_after)
        return answer.with_headers({"x-wns-continue-after": http_wait(retry_after)})

    def gone(self, request: Request, since_s: float) -> Answer:
        return self.refusal(410, "", request)

    def quota_reason(self, by: str) -> str:
        return "channelthrottled" if by == "address" else ""

    def _give_token(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        mine = self.credentials
        if request.path == "/accesstoken.srf":
            client, scope, unauthorized = mine["package_sid"], "notify.windows.com", 400
        elif request.path == f"/{mine['tenant_id']}/oauth2/v2.0/token":
            client, scope, unauthorized = mine["client_id"], "https://wns.windows.com/.default", 401
        else:
            return json_answer(404, {"error": "not_found"})
        if form.get("grant_type") != "client_credentials":
            return json_answer(400, {"error": "unsupported_grant_type"})
        if form.get("client_id") != client or form.get("client_secret") != mine["client_secret"]:
            return json_answer(unauthorized, {"error": "invalid_client", "error_description": "Wrong id or secret."})
        if form.get("scope") != scope:
            return json_answer(400, {"error": "invalid_scope", "error_description": f"The scope is {scope}."})
        content = {"access_token": self.tokens.give(), "token_type": "bearer", "expires_in": TOKEN_LIFE_S - 1}
        return json_answer(200, content, {"cache-control": "no-store"})

    def _refused(self, request: Request) -> int:
        """The status of a send that WNS does not take, 0 for one that it takes."""
        headers = request.headers
        if request.method != "POST":
            return 405
        if "token=" not in request.path:
            return 404
        if self.tokens.state(headers.get("authorization", "")) is not TokenState.GOOD:
            return 401
        if "content-length" not in headers or not headers_agree(headers):
            return 400
        return 413 if len(request.body) > MAX_PAYLOAD_BYTES else 0

    def _headers(self, request: Request, status: str, provider_message_id: str = "") -> dict[str, str]:
        headers = {
            "x-wns-status": status,
            "x-wns-msg-id": provider_message_id or secrets.token_hex(8).upper(),
            "x-wns-debug-trace": "SIM0000000001",
            "ms-cv": request.headers.get("ms-cv") or f"{secrets.token_urlsafe(16)}.0",
        }
        if request.headers.get("x-wns-requestforstatus", "").lower() == "true":
            online = self.deliveries.online(self.address_of(request) or "")
            headers["x-wns-deviceconnectionstatus"] = "connected" if online else "disconnected"
        return headers

    def _accepted(self, request: Request) -> Accepted:
        kind = request.headers["x-wns-type"].lower()
        policy = request.headers.get("x-wns-cache-policy", "no-cache" if kind == "wns/raw" else "cache")
        text = request.body.decode("utf-8", "replace")
        provider_message_id = secrets.token_hex(8).upper()
        named = MESSAGE_ID.search(html.unescape(text))
        return Accepted(
            service=self.name,
            address=self.key_of(request.path),
            message_id=named[1] if named else provider_message_id,
            provider_message_id=provider_message_id,
            payload=text,
            ttl_s=int(request.headers.get("x-wns-ttl", MAX_TTL_S)) if policy == "cache" else 0,
            collapse_key=kind,
        )


def headers_agree(headers: Mapping[str, str]) -> bool:
    """Are the headers of a send well-formed, and does the content type go with the kind of notification?"""
    kind = headers.get("x-wns-type", "").lower()
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        CONTENT_TYPES.get(kind) == content_type
        and headers.get("x-wns-ttl", "1").isdecimal()
        and headers.get("x-wns-cache-policy", "cache").lower() in ("cache", "no-cache")
        and TAG.fullmatch(headers.get("x-wns-tag", "tag")) is not None
        and "transfer-encoding" not in headers
    )
