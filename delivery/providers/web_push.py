"""Web Push to browsers: RFC 8030 (protocol), RFC 8291 (encryption), RFC 8292 (who is sending).

Errors: https://mozilla-services.github.io/autopush-rs/errors.html (read 2026-11-21) and RFC 8030, sections 5 and 7.3.
Apple adds a `reason` (https://developer.apple.com/documentation/usernotifications, "Sending web push notifications in
web apps and browsers"); Edge answers as WNS does; Google with plain text that is not documented.
Limits: 4096 bytes of body, of which 103 are encryption; one message per request.
An address is the browser's subscription as JSON: `{"endpoint": ..., "keys": {"p256dh": ..., "auth": ...}}`.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Self

from delivery.outcomes import Outcome, OutcomeKind, accepted, no_answer
from delivery.providers.base import ConfigError, Message, Provider
from delivery.providers.blame import Blame
from delivery.providers.clock import utc_now
from delivery.providers.egress import Refused, Rule, Target, admit, lookup, rule
from delivery.providers.egress_client import Egress
from delivery.providers.http import Answer, NoAnswer, retry_after_s
from delivery.providers.template import Templates
from delivery.providers.vapid import Vapid, read_key, read_subject
from delivery.providers.web_push_message import Subscription, encrypted, headers, parse_subscription, payload

PUSH_SERVICES = (
    "fcm.googleapis.com",
    "android.googleapis.com",
    "jmt17.google.com",
    ".push.services.mozilla.com",
    ".push.apple.com",
    ".notify.windows.com",
)
"""Of Chrome and its kin, of Chromium without Google's keys, of Firefox, Safari and Edge."""

OUTCOMES = {
    404: OutcomeKind.ADDRESS_GONE,
    406: OutcomeKind.THROTTLED,
    408: OutcomeKind.RETRY,
    410: OutcomeKind.ADDRESS_GONE,
    425: OutcomeKind.RETRY,
    429: OutcomeKind.THROTTLED,
}
"""Any other status goes by its class: 2xx accepted; 3xx, never followed, and 4xx rejected; the rest retry."""

CREDENTIAL_STATUSES = (401, 403)
CREDENTIAL_WORDS = re.compile(
    rb"UnauthorizedRegistration|VapidPkHashMismatch|BadVapidPublicKey|BadJwtToken|ExpiredJwtToken"
)
"""Said with a 400 by services that do not use those statuses."""

UNREADABLE = "unreadable_answer"
CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,200}")


class WebPush(Provider):
    name: ClassVar[str] = "web_push"
    max_payload_bytes: ClassVar[int] = 3993

    def __init__(self, *, vapid: Vapid, allowed: Rule, egress: Egress) -> None:
        self._vapid = vapid
        self._allowed = allowed
        self._egress = egress
        self._payloads = Templates(payload)
        self._blame = Blame()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """`private_key` and `subject`.

        Where wanted: `allowed_hosts`, `allow_origins`, `ca_file`, and `deadline_s` for one attempt.
        """
        for key, variable in (("private_key", "WEB_PUSH_PRIVATE_KEY"), ("subject", "WEB_PUSH_CLAIMS_EMAIL")):
            if not config.get(key):
                raise ConfigError(f"{key} is missing: set {variable}, see docs/providers/web_push.md")
        return cls(
            vapid=Vapid(read_key(config["private_key"]), read_subject(config["subject"])),
            allowed=rule(config, PUSH_SERVICES),
            egress=Egress.from_config(config),
        )

    @property
    def public_key(self) -> str:
        """What a browser subscribes with (`applicationServerKey`)."""
        return self._vapid.public_key

    def check_address(self, address: str, ask: Callable[[str], list[str]] = lookup) -> None:
        """At registration: `ValueError` says what is wrong with the subscription. Asks the DNS, so it may block."""
        admit(parse_subscription(address, self._allowed).target, ask)

    def payload_bytes(self, message: Message) -> bytes:
        """The rendered payload, whose size `max_payload_bytes` limits."""
        return payload(message)

    async def aclose(self) -> None:
        await self._egress.aclose()

    async def send_one(self, message: Message) -> Outcome:
        plaintext = self._payloads.rendered(message)
        if len(plaintext) > self.max_payload_bytes:
            return _rejected("payload_too_large", f"{len(plaintext)} bytes, at most {self.max_payload_bytes} fit")
        try:
            subscription = parse_subscription(message.address, self._allowed)
            async with asyncio.timeout(self._egress.deadline_s):
                return await self._send(subscription, plaintext, message)
        except Refused as refusal:
            return _rejected("refused_url", str(refusal))
        except ValueError as error:
            return _rejected("invalid_subscription", str(error))
        except NoAnswer as failure:
            return no_answer(failure.detail)
        except TimeoutError:
            return no_answer("no complete answer within the deadline")

    async def _send(self, subscription: Subscription, plaintext: bytes, message: Message) -> Outcome:
        """Where the push service refuses the VAPID header, once more with a fresh one, if signing again can help."""
        target = subscription.target
        body = encrypted(subscription, plaintext)
        authorization = self._vapid.header(target.origin)
        answer = await self._post(target, body, message, authorization)
        if refuses_credential(answer):
            renewed = self._vapid.renewed(target.origin, authorization)
            if renewed:
                answer = await self._post(target, body, message, renewed)
        return self._judge(target.origin, answer)

    async def _post(self, target: Target, body: bytes, message: Message, authorization: str) -> Answer:
        sent = {**headers(message), "authorization": authorization}
        return await self._egress.post(target, content=body, headers=sent)

    def _judge(self, push_service: str, answer: Answer) -> Outcome:
        outcome = outcome_of(answer, utc_now())
        if refuses_credential(answer):
            return replace(outcome, kind=self._blame.refused(push_service))
        if outcome.kind is OutcomeKind.ACCEPTED:
            self._blame.accepted(push_service)
        return outcome


def outcome_of(answer: Answer, now: datetime) -> Outcome:
    """What an answer means by itself. A refused credential is `misconfigured` until someone knows better."""
    kind = OutcomeKind.MISCONFIGURED if refuses_credential(answer) else _kind(answer.status)
    if _is_unreadable(answer):
        return Outcome(kind=OutcomeKind.RETRY, code=UNREADABLE, detail="the answer was not a push service's")
    if kind is OutcomeKind.ACCEPTED:
        return accepted(_message_id(answer.headers))
    return Outcome(
        kind=kind,
        code=_code(answer),
        retry_after_s=retry_after_s(answer.headers, now),
        detail=f"the push service answered {answer.status}",
    )


def refuses_credential(answer: Answer) -> bool:
    """The VAPID header is not believed, or this subscription was made with another key."""
    refused = answer.status == 400 and CREDENTIAL_WORDS.search(answer.body) is not None
    return refused or answer.status in CREDENTIAL_STATUSES


def _is_unreadable(answer: Answer) -> bool:
    """A success as no push service says it: RFC 8030 knows 201 and 202, so a 200 has to name the message."""
    return 200 <= answer.status < 300 and (
        answer.truncated or (answer.status == 200 and not _message_id(answer.headers))
    )


def _kind(status: int) -> OutcomeKind:
    by_class = {2: OutcomeKind.ACCEPTED, 3: OutcomeKind.REJECTED, 4: OutcomeKind.REJECTED}
    return OUTCOMES.get(status) or by_class.get(status // 100, OutcomeKind.RETRY)


def _code(answer: Answer) -> str:
    """Apple's `reason`, Mozilla's `errno`, else the status."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        reason, errno = found.get("reason"), found.get("errno")
        if isinstance(reason, str) and CODE.fullmatch(reason):
            return reason
        if type(errno) is int and 0 < errno < 10_000:
            return f"errno {errno}"
    return f"http_{answer.status}"


def _message_id(headers: Mapping[str, str]) -> str:
    """Apple's id, else the last part of the message's own URL; empty where it is too long to keep."""
    name = headers.get("apns-id") or headers.get("location", "").rpartition("/")[2]
    return name if MESSAGE_ID.fullmatch(name) else ""


def _rejected(code: str, detail: str) -> Outcome:
    return Outcome(kind=OutcomeKind.REJECTED, code=code, detail=detail)
