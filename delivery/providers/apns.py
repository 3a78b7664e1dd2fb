"""Apple Push Notification service, HTTP/2 with a provider token.

API:    https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
Errors: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
        (read 2026-11-21)
Limits: 4096 bytes of JSON; one stored notification per app while a device is away; 30 days.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from cryptography.hazmat.primitives.asymmetric import ec

from delivery.outcomes import Outcome, OutcomeKind, accepted, no_answer
from delivery.providers.apns_message import headers, payload
from delivery.providers.apns_token import ProviderToken, read_key
from delivery.providers.base import ConfigError, Message, Provider
from delivery.providers.clock import utc_now
from delivery.providers.http import Answer, Http, NoAnswer, retry_after_s
from delivery.providers.template import Templates

PRODUCTION_URL = "https://api.push.apple.com"
SANDBOX_URL = "https://api.sandbox.push.apple.com"

OUTCOMES = {
    "BadCollapseId": OutcomeKind.REJECTED,
    "BadDeviceToken": OutcomeKind.ADDRESS_GONE,
    "BadExpirationDate": OutcomeKind.REJECTED,
    "BadMessageId": OutcomeKind.REJECTED,
    "BadPriority": OutcomeKind.REJECTED,
    "BadTopic": OutcomeKind.MISCONFIGURED,
    "DeviceTokenNotForTopic": OutcomeKind.ADDRESS_GONE,
    "DuplicateHeaders": OutcomeKind.REJECTED,
    "IdleTimeout": OutcomeKind.RETRY,
    "InvalidPushType": OutcomeKind.REJECTED,
    "MissingDeviceToken": OutcomeKind.REJECTED,
    "MissingTopic": OutcomeKind.MISCONFIGURED,
    "PayloadEmpty": OutcomeKind.REJECTED,
    "TopicDisallowed": OutcomeKind.MISCONFIGURED,
    "BadCertificate": OutcomeKind.MISCONFIGURED,
    "BadCertificateEnvironment": OutcomeKind.MISCONFIGURED,
    "ExpiredProviderToken": OutcomeKind.MISCONFIGURED,
    "Forbidden": OutcomeKind.MISCONFIGURED,
    "InvalidProviderToken": OutcomeKind.MISCONFIGURED,
    "MissingProviderToken": OutcomeKind.MISCONFIGURED,
    "UnrelatedKeyIdInToken": OutcomeKind.RETRY,
    "BadEnvironmentKeyIdInToken": OutcomeKind.MISCONFIGURED,
    "BadEnvironmentKeyInToken": OutcomeKind.MISCONFIGURED,
    "BadPath": OutcomeKind.REJECTED,
    "MethodNotAllowed": OutcomeKind.REJECTED,
    "ExpiredToken": OutcomeKind.ADDRESS_GONE,
    "Unregistered": OutcomeKind.ADDRESS_GONE,
    "PayloadTooLarge": OutcomeKind.REJECTED,
    "TooManyProviderTokenUpdates": OutcomeKind.MISCONFIGURED,
    "TooManyRequests": OutcomeKind.RETRY,
    "InternalServerError": OutcomeKind.RETRY,
    "ServiceUnavailable": OutcomeKind.RETRY,
    "Shutdown": OutcomeKind.RETRY,
}
"""Every reason on Apple's page, and BadEnvironmentKeyInToken, which APNs sends for BadEnvironmentKeyIdInToken.

TooManyRequests speaks of one device token, so it slows nothing else. Any other reason counts by its status: `_kind_of`.
"""

HINTS = {
    "BadDeviceToken": "The token is malformed, or belongs to the other environment (sandbox, production).",
    "DeviceTokenNotForTopic": "The token belongs to another app than the credential's topic.",
    "BadTopic": "The credential's topic is not a bundle id that Apple knows.",
    "TopicDisallowed": "The key's team may not push to the credential's topic.",
    "ExpiredProviderToken": "Apple takes a fresh token for older than an hour: is this machine's clock right?",
    "InvalidProviderToken": "Apple does not accept key file, key id and team id together.",
    "BadEnvironmentKeyIdInToken": "The key serves the other environment (sandbox, production) only.",
    "BadEnvironmentKeyInToken": "The key serves the other environment (sandbox, production) only.",
    "TooManyProviderTokenUpdates": "Apple saw two new tokens of this team within 20 minutes: who else signs them?",
    "unreadable_answer": "The answer was not one of Apple's; whether the message was taken is unknown.",
}

TOKEN_UPDATES_PAUSE_S = 1200.0

_TOKEN = re.compile(r"[0-9A-Fa-f]{2,400}")
_REASON = re.compile(r"[A-Za-z0-9]{1,64}")
_REQUIRED = {
    "key_file": "set APNS_KEY_PATH to the .p8 file of a key with APNs enabled (developer.apple.com, Keys)",
    "key_id": "set APNS_KEY_ID to the 10 characters beside the key (developer.apple.com, Keys)",
    "team_id": "set APNS_TEAM_ID to the 10 characters of the team (developer.apple.com, Membership)",
    "topic": "set APNS_TOPIC to the app's bundle id",
}


class Apns(Provider):
    """One key of one team, for one app. A connection per environment, opened by the first message for it."""

    name: ClassVar[str] = "apns"
    max_payload_bytes: ClassVar[int] = 4096

    def __init__(
        self,
        *,
        key: ec.EllipticCurvePrivateKey,
        key_id: str,
        team_id: str,
        topic: str,
        url: str = PRODUCTION_URL,
        sandbox_url: str = SANDBOX_URL,
        ca_file: str | None = None,
        clock: Callable[[], datetime] = utc_now,
        deadline_s: float = 10.0,
    ) -> None:
        self._token = ProviderToken(key=key, key_id=key_id, team_id=team_id)
        self._topic = topic
        self._urls = {"production": url, "sandbox": sandbox_url}
        self._ca_file = ca_file
        self._deadline_s = deadline_s
        self._connections = {environment: self._new_connection() for environment in self._urls}
        self._clock = clock
        self._payloads = Templates(payload)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Keys: `key_file` (.p8), `key_id`, `team_id`, `topic`; `url`, `sandbox_url`, `ca_file` for an emulator.

        `deadline_s` is for one attempt.
        """
        for name, advice in _REQUIRED.items():
            if not config.get(name):
                raise ConfigError(f"apns: {name} is missing: {advice}")
        try:
            return cls(
                key=read_key(str(config["key_file"])),
                key_id=str(config["key_id"]),
                team_id=str(config["team_id"]),
                topic=str(config["topic"]),
                url=(config.get("url") or PRODUCTION_URL).rstrip("/"),
                sandbox_url=(config.get("sandbox_url") or SANDBOX_URL).rstrip("/"),
                ca_file=config.get("ca_file") or None,
                deadline_s=float(config.get("deadline_s", 10.0)),
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"apns: ca_file or deadline_s cannot be used: {error}") from error

    async def aclose(self) -> None:
        for connection in self._connections.values():
            await connection.aclose()

    def check_address(self, address: str) -> None:
        if not _TOKEN.fullmatch(address):
            raise ValueError("an APNs device token is hexadecimal")

    def payload_bytes(self, message: Message) -> bytes:
        """The rendered payload, whose size `max_payload_bytes` limits."""
        return payload(message)

    async def send_one(self, message: Message) -> Outcome:
        if not _TOKEN.fullmatch(message.address):
            return _refused("malformed_address", "An APNs device token is hexadecimal.")
        content = self._payloads.rendered(message)
        if len(content) > self.max_payload_bytes:
            return _refused("payload_too_large", f"{len(content)} bytes; APNs takes {self.max_payload_bytes}.")
        ends_at = asyncio.get_running_loop().time() + self._deadline_s
        token = self._token.at(self._clock())
        outcome = await self._push(message, content, token)  # keeps the deadline by itself
        if outcome.code == "ExpiredProviderToken" and (younger := self._token.instead_of(token, self._clock())):
            try:
                async with asyncio.timeout_at(ends_at):
                    return await self._push(message, content, younger)
            except TimeoutError:
                return no_answer("no complete answer within the deadline")
        return outcome

    async def _push(self, message: Message, content: bytes, token: str) -> Outcome:
        environment = "sandbox" if message.environment == "sandbox" else "production"
        connection = self._connections[environment]
        try:
            answer = await connection.post(
                f"{self._urls[environment]}/3/device/{message.address}",
                content=content,
                headers={"authorization": f"bearer {token}", **headers(message, self._topic)},
            )
        except NoAnswer as unanswered:
            return no_answer(unanswered.detail)
        outcome = read(answer, self._clock())
        if outcome.code == "UnrelatedKeyIdInToken" and self._connections[environment] is connection:
            self._connections[environment] = self._new_connection()
        return outcome

    def _new_connection(self) -> Http:
        return Http(http2=True, ca_file=self._ca_file, deadline_s=self._deadline_s)


def _refused(code: str, detail: str) -> Outcome:
    return Outcome(kind=OutcomeKind.REJECTED, code=code, detail=detail)


def read(answer: Answer, now: datetime) -> Outcome:
    """What an answer leads to. Apple repeats our `apns-id`, so a 200 without it is not Apple's."""
    if answer.status == 200 and "apns-id" in answer.headers:
        return accepted(answer.headers["apns-id"][:200])
    reason, gone_since = ("unreadable_answer", None) if answer.status == 200 else _error(answer.body)
    kind = OUTCOMES.get(reason) or _kind_of(answer.status)
    wait_s = TOKEN_UPDATES_PAUSE_S if reason == "TooManyProviderTokenUpdates" else retry_after_s(answer.headers, now)
    return Outcome(
        kind=kind,
        code=reason or f"http_{answer.status}",
        retry_after_s=wait_s,
        detail=HINTS.get(reason, ""),
        gone_since=gone_since if kind is OutcomeKind.ADDRESS_GONE else None,
        of_address=reason == "TooManyRequests",
    )


def _kind_of(status: int) -> OutcomeKind:
    """The default for an unknown reason: it never disables an address."""
    if status == 200 or status == 429 or status >= 500:
        return OutcomeKind.RETRY
    if status in (400, 404, 405, 410, 413):
        return OutcomeKind.REJECTED
    return OutcomeKind.MISCONFIGURED


def _error(body: bytes) -> tuple[str, datetime | None]:
    """The reason, and the moment (ms since 1970) since when the token is gone; nothing from what is not Apple's."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(error, dict) or not _REASON.fullmatch(str(error.get("reason"))):
        return "", None
    return str(error["reason"]), _moment(error.get("timestamp"))


def _moment(since_ms: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(since_ms / 1000, UTC) if isinstance(since_ms, int) else None
    except (OverflowError, ValueError, OSError):
        return None
