"""Firebase Cloud Messaging, HTTP v1, as seen from a sender: the token endpoint and `messages:send`.

API:    https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
Errors: https://firebase.google.com/docs/cloud-messaging/error-codes (read 2026-11-21)
Tokens: https://developers.google.com/identity/protocols/oauth2/service-account (read 2026-11-21)

What it keeps for a device that is away: 100 plain messages, one more drops them all, and 4 collapse keys.
"""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulator.services.access_tokens import AccessTokens, TokenState
from simulator.services.deliveries import Accepted, Keeps
from simulator.services.service import EmulatedService
from simulator.services.tls import key_pem, write_private
from simulator.services.wire import Answer, Request, json_answer, named

PROJECT_ID = "homepot-simulated"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GOOGLE_AUDIENCE = "https://oauth2.googleapis.com/token"
"""What Google's own libraries sign grants for, whatever the service account's `token_uri` says."""
TOKEN_LIFE_S = 3600
MAX_PAYLOAD_BYTES = 4096
MAX_TTL_S = 2_419_200
REGISTRATION_TOKEN = re.compile(r"[A-Za-z0-9_:.-]{8,4096}")
DURATION = re.compile(r"(\d+(?:\.\d{1,9})?)s")
RESERVED_KEYS = re.compile(r"from|message_type|google.*|gcm.*")

DEVICE_QUOTA = "device message rate"
"""Stands for QUOTA_EXCEEDED whose QuotaFailure speaks of one device."""

STATUS_OF_CODE = {
    "UNREGISTERED": "NOT_FOUND",
    "SENDER_ID_MISMATCH": "PERMISSION_DENIED",
    "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
    "THIRD_PARTY_AUTH_ERROR": "UNAUTHENTICATED",
    "UNSPECIFIED_ERROR": "UNKNOWN",
}
"""Where the canonical status of the error differs from FCM's own code."""
OWN_CODES = frozenset({*STATUS_OF_CODE, "INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL"})
"""Codes that come with an FcmError detail; others (NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED) have none."""
DEFAULT_CODE = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"} | {
    429: "QUOTA_EXCEEDED", 500: "INTERNAL", 503: "UNAVAILABLE"
}  # fmt: skip


class EmulatedFcm(EmulatedService):
    """`service_account_file` is what Google's console would give; its `token_uri` points here."""

    name: ClassVar[str] = "fcm"
    keeps: ClassVar[Keeps] = Keeps(plain=100, collapsed=4, overflow_drops_all=True)

    project_id = PROJECT_ID

    @property
    def service_account_file(self) -> Path:
        return self.home / "fcm-service-account.json"

    def write_credentials(self) -> None:
        account = self._account()
        account["token_uri"] = f"{self.url}/token"
        write_private(self.service_account_file, json.dumps(account, indent=2).encode())
        key = serialization.load_pem_private_key(account["private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._public_key = key.public_key()
        self._account_email = account["client_email"]
        self.tokens = AccessTokens("ya29.", hashlib.sha256(account["private_key"].encode()).digest(), TOKEN_LIFE_S)

    def describe(self) -> dict[str, str]:
        return {"project_id": self.project_id, "service_account_file": str(self.service_account_file)}

    def new_address(self) -> str:
        return f"{secrets.token_urlsafe(16)}:APA91b{secrets.token_urlsafe(96)}"

    def address_of(self, request: Request) -> str | None:
        if not request.path.endswith("/messages:send"):
            return None
        form = request.form()
        message = form.get("message") if isinstance(form, dict) else None
        token = message.get("token") if isinstance(message, dict) else None
        return token if isinstance(token, str) else ""

    def judge(self, request: Request) -> Accepted | Answer:
        if request.path == "/token":
            return self._give_token(request)
        if request.method != "POST" or request.path != f"/v1/projects/{self.project_id}/messages:send":
            return error(404, "NOT_FOUND", "Requested entity was not found.")
        refusal = self._check_token(request.headers.get("authorization", ""))
        if refusal:
            return refusal
        form = request.form()
        if not isinstance(form, dict) or not isinstance(form.get("message"), dict):
            return bad_field("message", "Invalid JSON payload received.")
        message = form["message"]
        refusal = check_message(message)
        if refusal:
            return refusal
        if form.get("validateOnly"):
            return json_answer(200, {"name": f"projects/{self.project_id}/messages/fake_message_id"})
        return self._accepted(message)

    def thanks(self, request: Request, accepted: Accepted) -> Answer:
        return json_answer(200, {"name": accepted.provider_message_id})

    def summary(self) -> dict[str, Any]:
        return {**super().summary(), "tokens_given": self.tokens.given}

    def refusal(self, status: int, reason: str, request: Request) -> Answer:
        if reason == DEVICE_QUOTA:
            return device_quota_exceeded()
        code = reason or DEFAULT_CODE.get(status, "UNSPECIFIED_ERROR")
        return error(status, code, f"Simulated {code}.")

    def gone(self, request: Request, since_s: float) -> Answer:
        return error(404, "UNREGISTERED", "Requested entity was not found.")

    def quota_reason(self, by: str) -> str:
        return DEVICE_QUOTA if by == "address" else "QUOTA_EXCEEDED"

    def _account(self) -> dict[str, str]:
        """The service account of an earlier run, or a new one."""
        if self.service_account_file.exists():
            account: dict[str, str] = json.loads(self.service_account_file.read_bytes())
            return account
        email = f"push@{self.project_id}.iam.gserviceaccount.com"
        return {
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": secrets.token_hex(20),
            "private_key": key_pem(rsa.generate_private_key(65537, 2048)).decode(),
            "client_email": email,
            "client_id": str(secrets.randbelow(10**21)),
            "universe_domain": "googleapis.com",
        }

    def _give_token(self, request: Request) -> Answer:
        form = parse_qs(request.body.decode("latin-1"))
        if form.get("grant_type") != [JWT_GRANT]:
            return json_answer(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type."})
        try:
            claims = jwt.decode(
                form.get("assertion", [""])[0],
                self._public_key,
                algorithms=["RS256"],
                audience=[f"{self.url}/token", GOOGLE_AUDIENCE],
                issuer=self._account_email,
                leeway=10,
                options={"require": ["iat", "exp", "iss", "aud"]},
            )
            life_s = int(claims["exp"]) - int(claims["iat"])
        except (jwt.PyJWTError, ValueError, TypeError) as problem:
            return json_answer(400, {"error": "invalid_grant", "error_description": f"Invalid JWT: {problem}"})
        if SCOPE not in str(claims.get("scope", "")).split() or life_s > TOKEN_LIFE_S:
            return json_answer(400, {"error": "invalid_scope", "error_description": "Scope or lifetime not allowed."})
        token = self.tokens.give()
        return json_answer(200, {"access_token": token, "expires_in": TOKEN_LIFE_S - 1, "token_type": "Bearer"})

    def _check_token(self, authorization: str) -> Answer | None:
        match self.tokens.state(authorization):
            case TokenState.GOOD:
                return None
            case TokenState.EXPIRED:
                return unauthenticated("ACCESS_TOKEN_EXPIRED")
            case TokenState.UNKNOWN:
                return unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED" if authorization else "CREDENTIALS_MISSING")

    def _accepted(self, message: Mapping[str, Any]) -> Accepted:
        name = f"projects/{self.project_id}/messages/0:{time.time_ns() // 1000}%{secrets.token_hex(8)}"
        android = message.get("android", {})
        ttl = DURATION.fullmatch(str(android.get("ttl", f"{MAX_TTL_S}s")))
        return Accepted(
            service=self.name,
            address=message["token"],
            message_id=named(message.get("data")) or name,
            provider_message_id=name,
            payload=dict(message),
            ttl_s=float(ttl[1]) if ttl else MAX_TTL_S,
            collapse_key=str(android.get("collapse_key") or android.get("collapseKey") or ""),
            urgency=str(android.get("priority", "")).upper(),
        )


def check_message(message: Mapping[str, Any]) -> Answer | None:
    """The answer for a message that FCM does not take; None for one that it takes."""
    token = message.get("token")
    data, android, notification = (message.get(part, {}) for part in ("data", "android", "notification"))
    if not isinstance(token, str) or not token:
        return bad_field("message", "Recipient of the message is not set.")
    if not REGISTRATION_TOKEN.fullmatch(token):
        return error(400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token")
    if not all(isinstance(part, dict) for part in (data, android, notification)):
        return bad_field("message", "Invalid JSON payload received.")
    for index, (key, value) in enumerate(data.items()):
        if not isinstance(value, str):
            return bad_field(f"message.data[{index}].value", f"Invalid value at 'message.data[{index}].value'")
        if RESERVED_KEYS.fullmatch(key):
            return error(400, "INVALID_ARGUMENT", f"Invalid data payload key: {key}")
    return _check_android(android) or _check_size(data, notification)


def _check_android(android: Mapping[str, Any]) -> Answer | None:
    ttl = DURATION.fullmatch(str(android.get("ttl", "0s")))
    if not ttl or float(ttl[1]) > MAX_TTL_S:
        return bad_field("message.android.ttl", "Invalid ttl: at most 2419200s.")
    if str(android.get("priority", "NORMAL")).upper() not in ("NORMAL", "HIGH"):
        return bad_field("message.android.priority", "Invalid value at 'message.android.priority'")
    return None


def _check_size(data: Mapping[str, Any], notification: Mapping[str, Any]) -> Answer | None:
    texts = [text for part in (data, notification) for pair in part.items() for text in pair]
    if sum(len(str(text).encode("utf-8", "surrogatepass")) for text in texts) > MAX_PAYLOAD_BYTES:
        return error(400, "INVALID_ARGUMENT", "Android message is too big")
    return None


def error(status: int, code: str, text: str) -> Answer:
    """Google's error envelope; FCM's own codes come as a detail of it."""
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    return _envelope(status, STATUS_OF_CODE.get(code, code), text, details if code in OWN_CODES else [])


def device_quota_exceeded() -> Answer:
    """429 that is about one device; the QuotaFailure says so."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "QUOTA_EXCEEDED"},
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"subject": "device", "description": "Device message rate exceeded."}],
        },
    ]
    return _envelope(429, "RESOURCE_EXHAUSTED", "Device message rate exceeded.", details)


def bad_field(field: str, text: str) -> Answer:
    """A field of the request is wrong; nothing is said about the token."""
    violations = [{"field": field, "description": text}]
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
    return _envelope(400, "INVALID_ARGUMENT", text, [detail])


def unauthenticated(reason: str) -> Answer:
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "fcm.googleapis.com"},
    }
    text = "Request had invalid authentication credentials. Expected OAuth 2 access token."
    answer = _envelope(401, "UNAUTHENTICATED", text, [detail])
    return answer.with_headers({"www-authenticate": 'Bearer realm="https://accounts.google.com/"'})


def _envelope(status: int, canonical: str, text: str, details: list[dict[str, Any]]) -> Answer:
    content: dict[str, Any] = {"code": status, "message": text, "status": canonical}
    return json_answer(status, {"error": content | ({"details": details} if details else {})})
