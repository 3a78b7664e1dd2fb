"""Firebase Cloud Messaging, HTTP v1.

API:    https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
Errors: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
        https://firebase.google.com/docs/cloud-messaging/error-codes (both read 2026-11-21)
Limits: 4096 bytes of data per message; one message per request; 600,000 messages a minute per project.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Self

from delivery.outcomes import Outcome, OutcomeKind, accepted, no_answer
from delivery.providers.base import ConfigError, Message, Provider
from delivery.providers.blame import Blame
from delivery.providers.clock import utc_now
from delivery.providers.fcm_message import body, encoded, limited_text
from delivery.providers.fcm_token import AccessToken, ServiceAccount
from delivery.providers.http import Answer, Http, NoAnswer, retry_after_s
from delivery.providers.template import Templates

URL = "https://fcm.googleapis.com"

OUTCOMES = {
    # FCM's own codes, in an FcmError among the details
    "UNSPECIFIED_ERROR": OutcomeKind.RETRY,
    "INVALID_ARGUMENT": OutcomeKind.REJECTED,
    "UNREGISTERED": OutcomeKind.ADDRESS_GONE,
    "SENDER_ID_MISMATCH": OutcomeKind.REJECTED,
    "QUOTA_EXCEEDED": OutcomeKind.THROTTLED,
    "UNAVAILABLE": OutcomeKind.RETRY,
    "INTERNAL": OutcomeKind.RETRY,
    "THIRD_PARTY_AUTH_ERROR": OutcomeKind.REJECTED,
    # Google's general ones, where FCM says no more
    "UNAUTHENTICATED": OutcomeKind.MISCONFIGURED,
    "PERMISSION_DENIED": OutcomeKind.MISCONFIGURED,
    "NOT_FOUND": OutcomeKind.MISCONFIGURED,
    "RESOURCE_EXHAUSTED": OutcomeKind.THROTTLED,
    "ABORTED": OutcomeKind.RETRY,
    "CANCELLED": OutcomeKind.RETRY,
    "DEADLINE_EXCEEDED": OutcomeKind.RETRY,
    "UNKNOWN": OutcomeKind.RETRY,
    "unreadable_answer": OutcomeKind.RETRY,
}
"""By code; any other one counts by its status (`_kind_of`). INVALID_ARGUMENT and QUOTA_EXCEEDED are looked at twice."""

ONE_ADDRESS_OR_ALL = ("SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR")
"""The fault of one token, or of the Apple and Web keys of the project, until 20 came in a row: then it is ours."""

HINTS = {
    "SENDER_ID_MISMATCH": "The token belongs to another Firebase project.",
    "THIRD_PARTY_AUTH_ERROR": "The project's APNs key or Web Push key in the Firebase console is missing or wrong.",
    "UNAUTHENTICATED": "Google refuses a token that it has just given to this service account.",
    "PERMISSION_DENIED": "Enable the Firebase Cloud Messaging API, and let the service account use it.",
    "NOT_FOUND": "There is no such Firebase project: is project_id right?",
    "unreadable_answer": "The answer was not one of FCM's; whether the message was taken is unknown.",
}

MIN_WAITS_S = {OutcomeKind.RETRY: 10.0, OutcomeKind.THROTTLED: 60.0}
"""What Google asks for at least before the next try, also where it names no Retry-After."""

_ADDRESS = re.compile(r"[\x21-\x7e]{1,4096}")
_PROJECT_ID = re.compile(r"[a-z0-9][a-z0-9.:-]{0,127}")
_CODE = re.compile(r"[A-Z_]{1,64}")


class Fcm(Provider):
    """One service account of one Firebase project."""

    name: ClassVar[str] = "fcm"
    max_payload_bytes: ClassVar[int] = 4096

    def __init__(
        self,
        account: ServiceAccount,
        *,
        project_id: str,
        url: str = URL,
        ca_file: str | None = None,
        clock: Callable[[], datetime] = utc_now,
        deadline_s: float = 10.0,
    ) -> None:
        self._endpoint = f"{url}/v1/projects/{project_id}/messages:send"
        self._http = Http(ca_file=ca_file, deadline_s=deadline_s)
        self._token_http = Http(ca_file=ca_file, deadline_s=deadline_s, window=1)
        self._token = AccessToken(account, self._token_http, clock)
        self._clock = clock
        self._deadline_s = deadline_s
        self._bodies = Templates(lambda message: encoded(body(message)))
        self._blame = Blame()
        self._blame.accepted(self.name)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Keys: `service_account_file`, `project_id` (default: the file's); `url` and `ca_file` for an emulator.

        `deadline_s` is for one attempt, a new access token included.
        """
        if not config.get("service_account_file"):
            raise ConfigError(
                "fcm: service_account_file is missing: set FCM_SERVICE_ACCOUNT_FILE to the JSON key of a service "
                "account (Firebase console, Project settings, Service accounts)"
            )
        account = ServiceAccount.from_file(str(config["service_account_file"]))
        project_id = str(config.get("project_id") or account.project_id)
        if not _PROJECT_ID.fullmatch(project_id):
            raise ConfigError(
                "fcm: project_id is missing or malformed: set FCM_PROJECT_ID to the id of the Firebase project"
            )
        try:
            return cls(
                account,
                project_id=project_id,
                url=(config.get("url") or URL).rstrip("/"),
                ca_file=config.get("ca_file") or None,
                deadline_s=float(config.get("deadline_s", 10.0)),
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"fcm: ca_file or deadline_s cannot be used: {error}") from error

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._token_http.aclose()

    def check_address(self, address: str) -> None:
        if not _ADDRESS.fullmatch(address):
            raise ValueError("an FCM registration token is 1 to 4096 letters, digits and signs, without spaces")

    def payload_bytes(self, message: Message) -> bytes:
        """The part of the rendered message whose size `max_payload_bytes` limits."""
        return limited_text(body(message))

    async def probe_one(self, message: Message) -> Outcome:
        """FCM validates the message and its token, and delivers nothing (`validateOnly`)."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._send(encoded({**body(message), "validateOnly": True}))
        except TimeoutError:
            return no_answer("no complete answer within the deadline")

    async def send_one(self, message: Message) -> Outcome:
        if not _ADDRESS.fullmatch(message.address):
            return _refused("malformed_address", "An FCM registration token has no spaces and at most 4096 characters.")
        content = self._bodies.rendered(message)
        if (
            len(content) > self.max_payload_bytes
            and (size := len(self.payload_bytes(message))) > self.max_payload_bytes
        ):
            return _refused("payload_too_large", f"{size} bytes; FCM takes {self.max_payload_bytes}.")
        ends_at = asyncio.get_running_loop().time() + self._deadline_s
        try:
            if not (token := self._token.at_hand()):
                async with asyncio.timeout_at(ends_at):
                    return await self._send(content)
            outcome = await self._post(content, token)  # keeps the deadline by itself
            if outcome.code != "UNAUTHENTICATED":
                return outcome
            async with asyncio.timeout_at(ends_at):
                return await self._send_again(content, token, outcome)
        except TimeoutError:
            return no_answer("no complete answer within the deadline")

    async def _send(self, content: bytes) -> Outcome:
        token = await self._token.get()
        if isinstance(token, Outcome):
            return token
        outcome = await self._post(content, token)
        return await self._send_again(content, token, outcome) if outcome.code == "UNAUTHENTICATED" else outcome

    async def _send_again(self, content: bytes, token: str, outcome: Outcome) -> Outcome:
        """With another token, where there is one; this one was refused."""
        fresh = await self._token.instead_of(token)
        if fresh is None:
            return outcome
        return fresh if isinstance(fresh, Outcome) else await self._post(content, fresh)

    async def _post(self, content: bytes, token: str) -> Outcome:
        try:
            answer = await self._http.post(
                self._endpoint,
                content=content,
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            )
        except NoAnswer as unanswered:
            return no_answer(unanswered.detail)
        return self._judged(read(answer, self._clock()))

    def _judged(self, outcome: Outcome) -> Outcome:
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._blame.accepted(self.name)
        if outcome.code in ONE_ADDRESS_OR_ALL:
            return replace(outcome, kind=self._blame.refused(self.name))
        return outcome


def _refused(code: str, detail: str) -> Outcome:
    return Outcome(kind=OutcomeKind.REJECTED, code=code, detail=detail)


def read(answer: Answer, now: datetime) -> Outcome:
    """What an answer leads to."""
    content = _object(_parsed(answer.body))
    if answer.status == 200 and isinstance(content.get("name"), str):
        return accepted(content["name"][:200])
    error = _object(content.get("error"))
    code = "unreadable_answer" if answer.status == 200 else _code(error, answer.status)
    kind = OUTCOMES.get(code) or _kind_of(answer.status)
    if code == "INVALID_ARGUMENT" and _is_about_the_token(error):
        kind = OutcomeKind.ADDRESS_GONE
    of_address = kind is OutcomeKind.THROTTLED and _is_one_devices_quota(error)
    if of_address:
        kind = OutcomeKind.RETRY
    return Outcome(
        kind=kind,
        code=code,
        retry_after_s=retry_after_s(answer.headers, now),
        least_wait_s=MIN_WAITS_S.get(kind, 0.0),
        detail=HINTS.get(code, ""),
        of_address=of_address,
    )


def _code(error: Mapping[str, Any], status: int) -> str:
    """FCM's own code where there is one, else Google's canonical one, else what stands for the bare status."""
    own = next((detail["errorCode"] for detail in _details(error, "fcm.v1.FcmError") if "errorCode" in detail), None)
    for code in (own, error.get("status")):
        if isinstance(code, str) and _CODE.fullmatch(code):
            return code
    return "UNAUTHENTICATED" if status == 401 else f"http_{status}"


def _kind_of(status: int) -> OutcomeKind:
    """The default for an unknown code: it never disables an address."""
    if status == 429:
        return OutcomeKind.THROTTLED
    if status >= 500:
        return OutcomeKind.RETRY
    if status in (400, 405, 413):
        return OutcomeKind.REJECTED
    return OutcomeKind.MISCONFIGURED


def _is_about_the_token(error: Mapping[str, Any]) -> bool:
    """The one INVALID_ARGUMENT that says that the address is no address.

    FCM gives the same code, in the same FcmError, for a payload that is too big or has a reserved key; so it counts
    only where the fields named, or else the text, are about the registration token and nothing else.
    """
    if not any(True for _ in _details(error, "fcm.v1.FcmError")):
        return False
    fields = [
        violation.get("field")
        for detail in _details(error, "rpc.BadRequest")
        for violation in _objects(detail.get("fieldViolations"))
    ]
    if fields:
        return set(fields) == {"message.token"}
    return "registration token" in str(error.get("message")).lower()


def _is_one_devices_quota(error: Mapping[str, Any]) -> bool:
    """The QuotaFailure says whose quota it is; a single device's slows nothing else down."""
    violations = [each for detail in _details(error, "rpc.QuotaFailure") for each in _objects(detail.get("violations"))]
    return bool(violations) and all(
        "device" in f"{v.get('subject')} {v.get('description')}".lower() for v in violations
    )


def _details(error: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (detail for detail in _objects(error.get("details")) if str(detail.get("@type")).endswith(kind))


def _parsed(raw: bytes) -> object:
    try:
        parsed: object = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return parsed


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
