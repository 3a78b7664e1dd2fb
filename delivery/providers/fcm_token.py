"""The OAuth2 access token with which a service account speaks to FCM.

Grant: https://developers.google.com/identity/protocols/oauth2/service-account (read 2026-11-21): an RS256 JWT, signed
with the account's key, is exchanged at the account's `token_uri` for a token of 3,600 s.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from google.auth import jwt
from google.auth.crypt import RSASigner

from delivery.outcomes import Outcome, OutcomeKind, no_answer
from delivery.providers.base import ConfigError
from delivery.providers.http import Answer, Http, NoAnswer, retry_after_s

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE = timedelta(hours=1)
REFRESH_AFTER = timedelta(minutes=55)
FAILED_REFRESH_PAUSE = timedelta(seconds=30)
RENEWAL_PAUSE = timedelta(seconds=60)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_REQUIRED = ("client_email", "private_key", "token_uri")


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    email: str
    token_uri: str
    project_id: str
    signer: RSASigner = field(repr=False)

    @classmethod
    def from_file(cls, file: str) -> "ServiceAccount":
        """Read Google's JSON; `ConfigError` says what is wrong with it, and never quotes it."""
        try:
            account: Any = json.loads(Path(file).read_bytes())
        except OSError as error:
            raise ConfigError(f"fcm: service_account_file {file} cannot be read: {error.strerror}") from error
        except ValueError:
            raise ConfigError(f"fcm: service_account_file {file} is not JSON") from None
        if not isinstance(account, dict) or account.get("type") != "service_account":
            raise ConfigError(f"fcm: service_account_file {file} is not a service account's key")
        if missing := [name for name in _REQUIRED if not account.get(name)]:
            raise ConfigError(f"fcm: service_account_file {file} lacks {', '.join(missing)}")
        try:
            signer = RSASigner.from_service_account_info(account)  # type: ignore[no-untyped-call]
        except ValueError:
            raise ConfigError(f"fcm: the private_key in service_account_file {file} is not a PEM key") from None
        return cls(account["client_email"], account["token_uri"], account.get("project_id", ""), signer)


class AccessToken:
    """One token per process and account: all who need a new one wait for the same request."""

    def __init__(self, account: ServiceAccount, http: Http, clock: Callable[[], datetime]) -> None:
        self._account = account
        self._http = http
        self._clock = clock
        self._token = ""
        self._expires_at = self._refresh_at = self._renewed_at = _LONG_AGO
        self._request: asyncio.Task[str | Outcome] | None = None

    def at_hand(self) -> str:
        """The token, where nobody need be asked for one; else empty."""
        return self._token if self._clock() < self._refresh_at else ""

    async def get(self) -> str | Outcome:
        """The token, or what its absence means for the message. Refreshed at 55 minutes, while the old one still works.

        Should that fail, the old one is used until it ends, and the next refresh is tried after half a minute.
        """
        if self._clock() < self._refresh_at:
            return self._token
        return await self._refreshed()

    async def instead_of(self, refused: str) -> str | Outcome | None:
        """The token that replaces one that FCM refused; None when it was replaced within the last minute already."""
        if self._token != refused and self._clock() < self._expires_at:
            return self._token
        if self._request is None:
            if self._clock() - self._renewed_at < RENEWAL_PAUSE:
                return None
            self._renewed_at = self._clock()
            self._expires_at = self._refresh_at = _LONG_AGO
        return await self._refreshed()

    async def _refreshed(self) -> str | Outcome:
        """Shared by all who wait; one of them giving up does not stop it for the others."""
        if self._request is None:
            self._request = asyncio.create_task(self._refresh())
            self._request.add_done_callback(self._forget)
        return await asyncio.shield(self._request)

    def _forget(self, _: object) -> None:
        self._request = None

    async def _refresh(self) -> str | Outcome:
        now = self._clock()
        form = urlencode({"grant_type": GRANT_TYPE, "assertion": self._assertion(now)})
        try:
            answer = await self._http.post(
                self._account.token_uri,
                content=form.encode(),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )
            outcome = self._take(answer, now)
        except NoAnswer as unanswered:
            outcome = no_answer(f"no access token: {unanswered.detail}")
        if outcome is None:
            return self._token
        if now < self._expires_at:
            self._refresh_at = now + FAILED_REFRESH_PAUSE
            return self._token
        return outcome

    def _take(self, answer: Answer, now: datetime) -> Outcome | None:
        """Keep the token of an answer; None when there was one."""
        content = _object(answer.body)
        token, life_s = content.get("access_token"), content.get("expires_in")
        if answer.status == 200 and isinstance(token, str) and token.isascii() and token.isprintable():
            life = min(timedelta(seconds=life_s), LIFE) if isinstance(life_s, int) and life_s > 0 else LIFE
            self._token = token
            self._expires_at, self._refresh_at = now + life, now + life * (REFRESH_AFTER / LIFE)
            return None
        if answer.status in (400, 401, 403, 404):
            return Outcome(
                kind=OutcomeKind.MISCONFIGURED,
                code=f"token_{_word(content.get('error')) or answer.status}",
                detail="Google gives this service account no token: is its key revoked, or this machine's clock wrong?",
            )
        return Outcome(
            kind=OutcomeKind.RETRY,
            code=f"token_http_{answer.status}",
            retry_after_s=retry_after_s(answer.headers, now),
            detail="The token endpoint gave no token.",
        )

    def _assertion(self, now: datetime) -> str:
        issued_at = int(now.timestamp())
        claims = {
            "iss": self._account.email,
            "scope": SCOPE,
            "aud": self._account.token_uri,
            "iat": issued_at,
            "exp": issued_at + int(LIFE.total_seconds()),
        }
        signed: bytes = jwt.encode(self._account.signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) and value.isascii() and value.isidentifier() and len(value) <= 64 else ""
