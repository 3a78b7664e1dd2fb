"""Windows Push Notification Services.

API and errors: push-request-response-headers, wns-overview, raw-notification-overview, troubleshoot-notifications, all
below https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/ (read 2026-11-21).
Limits: 5000 bytes of body; HTTP/1.1 without chunks; one notification per request; a channel lives 30 days.
An address is a channel URI, always below notify.windows.com: no token goes anywhere else.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Self

from delivery.outcomes import Outcome, OutcomeKind, accepted, no_answer
from delivery.providers.base import ConfigError, Message, Provider
from delivery.providers.blame import Blame
from delivery.providers.clock import utc_now
from delivery.providers.egress import Refused, Rule, Target, admit, check, lookup, rule
from delivery.providers.egress_client import Egress
from delivery.providers.http import Answer, Http, NoAnswer, retry_after_s
from delivery.providers.wns_message import Notification, notification
from delivery.providers.wns_token import WnsToken

log = logging.getLogger(__name__)

CHANNEL_HOSTS = (".notify.windows.com",)
ENTRA_URL = "https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"
ENTRA_SCOPE = "https://wns.windows.com/.default"
LIVE_URL = "https://login.live.com/accesstoken.srf"
LIVE_SCOPE = "notify.windows.com"
PACKAGE_SID = "ms-app://"
TENANT = re.compile(r"[A-Za-z0-9.-]{1,100}")

MAX_WAIT_S = 3600.0

OUTCOMES = {
    400: OutcomeKind.REJECTED,
    401: OutcomeKind.MISCONFIGURED,
    403: OutcomeKind.MISCONFIGURED,
    404: OutcomeKind.ADDRESS_GONE,
    405: OutcomeKind.REJECTED,
    406: OutcomeKind.THROTTLED,
    408: OutcomeKind.RETRY,
    410: OutcomeKind.ADDRESS_GONE,
    413: OutcomeKind.REJECTED,
    429: OutcomeKind.THROTTLED,
    500: OutcomeKind.RETRY,
    503: OutcomeKind.RETRY,
}
"""Any other status goes by its class: 2xx accepted; 3xx, never followed, and 4xx rejected; the rest retry."""

STATUSES = {"dropped": OutcomeKind.REJECTED, "channelthrottled": OutcomeKind.RETRY}
"""What a 2xx may mean besides accepted, by `X-WNS-Status`. The throttle is one channel's: only its message waits."""

SUPPORT_HEADERS = (
    "x-wns-status",
    "x-wns-deviceconnectionstatus",
    "x-wns-error-description",
    "x-wns-msg-id",
    "x-wns-debug-trace",
    "ms-cv",
)
"""What Microsoft asks for when a problem is reported: logged for each notification that was not received."""

UNREADABLE = "unreadable_answer"
"""A 2xx without a single header of WNS, although each request asks for its status."""

AWAY = ("disconnected", "tempconnected", "tempdisconnected")
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,200}")


class Wns(Provider):
    name: ClassVar[str] = "wns"
    max_payload_bytes: ClassVar[int] = 5000

    def __init__(self, *, token: WnsToken, allowed: Rule, egress: Egress) -> None:
        self._token = token
        self._allowed = allowed
        self._egress = egress
        self._blame = Blame()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """`client_id`, `client_secret`, and `tenant_id` unless the client id is a package SID (login.live.com).

        Where wanted: `token_url`, `allowed_hosts`, `allow_origins`, `ca_file`, and `deadline_s` for one attempt, a new
        access token included.
        """
        url, form = token_request(config)
        egress = Egress.from_config(config)
        http = Http(ca_file=config.get("ca_file") or None, window=1, deadline_s=egress.deadline_s)
        return cls(
            token=WnsToken(http=http, url=url, form=form),
            allowed=rule(config, CHANNEL_HOSTS),
            egress=egress,
        )

    def check_address(self, address: str, ask: Callable[[str], list[str]] = lookup) -> None:
        """At registration: `ValueError` says what is wrong with the channel URI. Asks the DNS, so it may block."""
        admit(check(address, self._allowed), ask)

    def payload_bytes(self, message: Message) -> bytes:
        """The rendered payload, whose size `max_payload_bytes` limits."""
        return notification(message).body

    async def aclose(self) -> None:
        await self._egress.aclose()
        await self._token.aclose()

    async def send_one(self, message: Message) -> Outcome:
        what = notification(message)
        if len(what.body) > self.max_payload_bytes:
            return _rejected("payload_too_large", f"{len(what.body)} bytes, at most {self.max_payload_bytes} fit")
        try:
            target = check(message.address, self._allowed)
            async with asyncio.timeout(self._egress.deadline_s):
                return await self._send(target, what)
        except Refused as refusal:
            return _rejected("refused_url", str(refusal))
        except NoAnswer as failure:
            return no_answer(failure.detail)
        except TimeoutError:
            return no_answer("no complete answer within the deadline")

    async def _send(self, target: Target, what: Notification) -> Outcome:
        """Where WNS refuses the token, once more with a fresh one, if fetching one can help."""
        token = await self._token.get()
        if isinstance(token, Outcome):
            return token
        answer = await self._post(target, what, token)
        if answer.status == 401:
            renewed = await self._token.renewed(token)
            if isinstance(renewed, Outcome):
                return renewed
            if renewed:
                answer = await self._post(target, what, renewed)
        return self._judge(answer)

    async def _post(self, target: Target, what: Notification, token: str) -> Answer:
        headers = {**what.headers, "authorization": f"Bearer {token}"}
        return await self._egress.post(target, content=what.body, headers=headers)

    def _judge(self, answer: Answer) -> Outcome:
        outcome = outcome_of(answer, utc_now())
        if 200 <= answer.status < 300:
            self._blame.accepted(self.name)
        if answer.status == 403:
            outcome = replace(outcome, kind=self._blame.refused(self.name))
        if outcome.kind is not OutcomeKind.ACCEPTED:
            log.info("wns did not take a notification: %s %s", answer.status, _for_support(answer.headers))
        return outcome


def token_request(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Where the token comes from, and the form to post there. `ConfigError` names what is missing."""
    for key in ("client_id", "client_secret"):
        if not config.get(key):
            raise ConfigError(f"{key} is missing: set WNS_{key.upper()}, see docs/providers/wns.md")
    tenant_id = str(config.get("tenant_id") or "")
    if not tenant_id and not config["client_id"].startswith(PACKAGE_SID):
        raise ConfigError("tenant_id is missing: set WNS_TENANT_ID, or use a package SID (ms-app://...) as client_id")
    if tenant_id and not TENANT.fullmatch(tenant_id):
        raise ConfigError("tenant_id (WNS_TENANT_ID) must be the directory's id or domain")
    url = ENTRA_URL.format(tenant_id=tenant_id) if tenant_id else LIVE_URL
    form = {
        "grant_type": "client_credentials",
        "client_id": config["client_id"],
        "client_secret": config["client_secret"],
        "scope": ENTRA_SCOPE if tenant_id else LIVE_SCOPE,
    }
    return config.get("token_url") or url, form


def outcome_of(answer: Answer, now: datetime) -> Outcome:
    """What an answer means by itself: the status, and for a 200 what WNS did with the notification.

    An accepted one for a device that is not connected says so in its code: evidence for a later verdict.
    """
    message_id = _matching(MESSAGE_ID, answer.headers.get("x-wns-msg-id"))
    device = answer.headers.get("x-wns-deviceconnectionstatus", "")
    away = device if device in AWAY else ""
    kind, code = _kind(answer.status), f"http_{answer.status}"
    if kind is OutcomeKind.ACCEPTED:
        if answer.truncated or not any(name.startswith("x-wns-") for name in answer.headers):
            return Outcome(kind=OutcomeKind.RETRY, code=UNREADABLE, detail="the answer was not one of WNS's")
        said = _said(answer.headers)
        if said not in STATUSES:
            return accepted(message_id, away)
        kind, code = STATUSES[said], said
    elif answer.status == 410 and "blocked" in answer.headers.get("x-wns-error-description", "").lower():
        kind, code = OutcomeKind.MISCONFIGURED, "domain_blocked"
    return Outcome(
        kind=kind,
        code=code,
        provider_message_id=message_id,
        retry_after_s=_wait_s(answer.headers, now),
        detail=f"WNS answered {answer.status}" + (f", the device is {away}" if away else ""),
        of_address=code == "channelthrottled",
    )


def _said(headers: Mapping[str, str]) -> str:
    """Older answers, and parts of the documentation, say `X-WNS-NotificationStatus`."""
    return headers.get("x-wns-status") or headers.get("x-wns-notificationstatus") or ""


def _kind(status: int) -> OutcomeKind:
    by_class = {2: OutcomeKind.ACCEPTED, 3: OutcomeKind.REJECTED, 4: OutcomeKind.REJECTED}
    return OUTCOMES.get(status) or by_class.get(status // 100, OutcomeKind.RETRY)


def _wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from `X-WNS-Continue-After`, else what `Retry-After` says."""
    seconds = headers.get("x-wns-continue-after", "").strip()
    if seconds.isascii() and seconds.isdigit():
        return min(float(seconds), MAX_WAIT_S)
    return retry_after_s(headers, now)


def _matching(pattern: re.Pattern[str], text: str | None) -> str:
    return text if text is not None and pattern.fullmatch(text) else ""


def _for_support(headers: Mapping[str, str]) -> str:
    """Never a header with a URL in it: that could be the channel."""
    found = {name: headers[name] for name in SUPPORT_HEADERS if "://" not in headers.get(name, "://")}
    return " ".join(f"{name}={value[:200]!r}" for name, value in found.items())


def _rejected(code: str, detail: str) -> Outcome:
    return Outcome(kind=OutcomeKind.REJECTED, code=code, detail=detail)
