"""Apple Push Notification service: HTTP/2 over TLS, token-based trust.

API:    https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
Errors: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
Tokens: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
(read 2026-11-21)

One stream until the first good push on a connection, then the announced limit. Of a device that is away it keeps one
message; collapsed ones replace each other like all others.
"""

import re
import secrets
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from simulator.services.deliveries import Accepted, Keeps
from simulator.services.listening import StreamPolicy
from simulator.services.service import EmulatedService
from simulator.services.tls import key_pem, write_private
from simulator.services.wire import Answer, Request, json_answer, named

PATH = re.compile(r"/3/device/([^/]*)")
DEVICE_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
MAX_PAYLOAD_BYTES = 4096
MAX_VOIP_PAYLOAD_BYTES = 5120
MAX_COLLAPSE_ID_BYTES = 64
MAX_TTL_S = 2_592_000
TOKEN_LIFE_S = 3600
TOKEN_REST_S = 1200
"""Two tokens of one team lie at least so far apart."""
CLOCK_LEEWAY_S = 60
PUSH_TYPES = frozenset(
    {"alert", "background", "controls", "complication", "fileprovider", "liveactivity", "location", "mdm"}
    | {"pushtotalk", "voip", "widgets"}
)
DEFAULT_REASON = {400: "BadDeviceToken", 403: "InvalidProviderToken", 404: "BadPath", 405: "MethodNotAllowed"} | {
    410: "Unregistered", 413: "PayloadTooLarge", 429: "TooManyRequests", 500: "InternalServerError",
    503: "ServiceUnavailable",
}  # fmt: skip


class EmulatedApns(EmulatedService):
    """`key_file` is the .p8 that Apple's console would give, for `key_id` of `team_id`; `topics` are its apps."""

    name: ClassVar[str] = "apns"
    protocols: ClassVar[tuple[str, ...]] = ("h2",)
    keeps: ClassVar[Keeps] = Keeps(plain=1)
    streams: ClassVar[StreamPolicy] = StreamPolicy(cold=1, warm=1000, go_away_reason=b'{"reason":"Shutdown"}')

    team_id = "SIMTEAM001"
    key_id = "SIMKEY0001"
    topics: frozenset[str] = frozenset({"org.homepot.agent"})

    @property
    def topic(self) -> str:
        return min(self.topics)

    @property
    def key_file(self) -> Path:
        return self.home / f"AuthKey_{self.key_id}.p8"

    def write_credentials(self) -> None:
        if not self.key_file.exists():
            write_private(self.key_file, key_pem(ec.generate_private_key(ec.SECP256R1())))
        key = serialization.load_pem_private_key(self.key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._public_key = key.public_key()
        self._issued_at_s: dict[str, int] = {}
        self._latest_issue_s = 0

    def describe(self) -> dict[str, str]:
        return {
            "key_file": str(self.key_file),
            "key_id": self.key_id,
            "team_id": self.team_id,
            "topic": self.topic,
        }

    def new_address(self) -> str:
        return secrets.token_hex(32)

    def key_of(self, address: str) -> str:
        return address.lower()

    def address_of(self, request: Request) -> str | None:
        match = PATH.fullmatch(request.path)
        return self.key_of(match[1]) if match else ""

    def judge(self, request: Request) -> Accepted | Answer:
        reason = check_route(request) or self._check_token(request) or self._check_topic(request)
        reason = reason or check_headers(request.headers) or check_body(request)
        if reason:
            status, word = reason
            return self.refusal(status, word, request)
        return self._accepted(request)

    def thanks(self, request: Request, accepted: Accepted) -> Answer:
        return Answer(status=200, headers={"apns-id": accepted.provider_message_id})

    def refusal(self, status: int, reason: str, request: Request) -> Answer:
        reason = reason or DEFAULT_REASON.get(status, "InternalServerError")
        if status == 410:
            return unregistered(request, reason, time.time())
        return json_answer(status, {"reason": reason}, {"apns-id": apns_id(request)})

    def gone(self, request: Request, since_s: float) -> Answer:
        return unregistered(request, "Unregistered", since_s)

    def quota_reason(self, by: str) -> str:
        return "TooManyRequests" if by == "address" else "TooManyProviderTokenUpdates"

    def _check_token(self, request: Request) -> tuple[int, str] | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return 403, "MissingProviderToken"
        issued_at_s = self._issued_at_s.get(token)
        if issued_at_s is None:
            issued_at_s = self._verified(token)
            if issued_at_s is None:
                return 403, "InvalidProviderToken"
            if 0 < issued_at_s - self._latest_issue_s < TOKEN_REST_S and self._latest_issue_s:
                return 429, "TooManyProviderTokenUpdates"
            self._latest_issue_s = max(self._latest_issue_s, issued_at_s)
            self._issued_at_s[token] = issued_at_s
        if time.time() - issued_at_s > TOKEN_LIFE_S:
            return 403, "ExpiredProviderToken"
        return None

    def _verified(self, token: str) -> int | None:
        """When this token was issued (Unix time); None for one that this team's key did not sign."""
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=["ES256"],
                issuer=self.team_id,
                options={"require": ["iss", "iat"], "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        issued_at_s = claims["iat"]
        if header.get("kid") != self.key_id or not isinstance(issued_at_s, int):
            return None
        return issued_at_s if issued_at_s <= time.time() + CLOCK_LEEWAY_S else None

    def _check_topic(self, request: Request) -> tuple[int, str] | None:
        topic = request.headers.get("apns-topic", "")
        if not topic:
            return 400, "MissingTopic"
        if topic not in self.topics:
            return 400, "TopicDisallowed"
        return None

    def _accepted(self, request: Request) -> Accepted:
        headers = request.headers
        given_id = headers.get("apns-id", "").lower()
        payload = request.form()
        provider_message_id = given_id or str(uuid.uuid4()).upper()
        expiration_s = int(headers.get("apns-expiration", MAX_TTL_S + int(time.time())))
        return Accepted(
            service=self.name,
            address=self.address_of(request) or "",
            message_id=given_id or named(payload) or provider_message_id,
            provider_message_id=provider_message_id,
            payload=payload,
            ttl_s=max(0.0, expiration_s - time.time()),
            collapse_key=headers.get("apns-collapse-id", ""),
            urgency=headers.get("apns-priority", "10"),
        )


def apns_id(request: Request) -> str:
    return request.headers.get("apns-id") or str(uuid.uuid4()).upper()


def unregistered(request: Request, reason: str, since_s: float) -> Answer:
    """410 with the moment (Unix ms) since which APNs knows that the token is not valid for the topic."""
    content = {"reason": reason, "timestamp": int(since_s * 1000)}
    return json_answer(410, content, {"apns-id": apns_id(request)})


def check_route(request: Request) -> tuple[int, str] | None:
    """Status and reason of a request that is not a push at all."""
    match = PATH.fullmatch(request.path)
    if match is None:
        return 404, "BadPath"
    if request.method != "POST":
        return 405, "MethodNotAllowed"
    if not match[1]:
        return 400, "MissingDeviceToken"
    if request.repeated:
        return 400, "DuplicateHeaders"
    return None if DEVICE_TOKEN.fullmatch(match[1]) else (400, "BadDeviceToken")


def check_headers(headers: Mapping[str, str]) -> tuple[int, str] | None:
    push_type = headers.get("apns-push-type", "alert")
    if push_type not in PUSH_TYPES:
        return 400, "InvalidPushType"
    allowed = ("5", "1") if push_type == "background" else ("10", "5", "1")
    if headers.get("apns-priority", allowed[0]) not in allowed:
        return 400, "BadPriority"
    if not re.fullmatch(r"\d{1,10}", headers.get("apns-expiration", "0")):
        return 400, "BadExpirationDate"
    if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_ID_BYTES:
        return 400, "BadCollapseId"
    try:
        uuid.UUID(headers.get("apns-id", "00000000-0000-0000-0000-000000000000"))
    except ValueError:
        return 400, "BadMessageId"
    return None


def check_body(request: Request) -> tuple[int, str] | None:
    voip = request.headers.get("apns-push-type") == "voip"
    if not request.body:
        return 400, "PayloadEmpty"
    if len(request.body) > (MAX_VOIP_PAYLOAD_BYTES if voip else MAX_PAYLOAD_BYTES):
        return 413, "PayloadTooLarge"
    payload: Any = request.form()
    return None if isinstance(payload, dict) and payload else (400, "PayloadEmpty")
