"""The access token for WNS: an OAuth 2.0 client-credentials grant at Microsoft Entra ID, or at login.live.com.

https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/push-quickstart and
https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/push-request-response-headers
(read 2026-11-21).
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from delivery.outcomes import Outcome, OutcomeKind, no_answer
from delivery.providers.clock import utc_now
from delivery.providers.http import Answer, Http, NoAnswer, retry_after_s

UNSTATED_LIFE_S = 3600.0
"""login.live.com may leave `expires_in` out."""
REFRESH_BEFORE_S = 300.0
RENEW_EVERY_S = 60.0
"""A token that was renewed and is refused again is not at fault: no third one within this time."""
HOLD_FAILURE_S = 5.0
"""So long a failed request speaks for everyone who asks after it."""

TRANSIENT_ERRORS = ("temporarily_unavailable", "server_error")
ERROR = re.compile(r"[a-z][a-z_]{0,49}")
BEARER = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class _Issued:
    token: str
    refresh_at: float


@dataclass(frozen=True, slots=True)
class _Failed:
    outcome: Outcome
    until: float


class WnsToken:
    """One token for all messages of a process; however many ask for it, one request is under way."""

    def __init__(
        self, *, http: Http, url: str, form: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._url = url
        self._form = urlencode(form).encode("ascii")
        self._clock = clock
        self._state: _Issued | _Failed | None = None
        self._renewed_at = float("-inf")
        self._request: asyncio.Task[str | Outcome] | None = None

    async def get(self) -> str | Outcome:
        """The token, or what has become of every message that needs it."""
        state, now = self._state, self._clock()
        if isinstance(state, _Issued) and now < state.refresh_at:
            return state.token
        if isinstance(state, _Failed) and now < state.until:
            return state.outcome
        return await self._requested()

    async def renewed(self, refused: str) -> str | Outcome | None:
        """Another token than the refused one; None where a new one was fetched for this reason a moment ago."""
        if isinstance(self._state, _Issued) and self._state.token == refused:
            if self._clock() - self._renewed_at < RENEW_EVERY_S:
                return None
            self._renewed_at = self._clock()
            self._state = None
        return await self.get()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _requested(self) -> str | Outcome:
        """Whoever gives up waiting leaves the request to the others."""
        if self._request is None:
            self._request = asyncio.create_task(self._fetch())
            self._request.add_done_callback(self._forget)
        return await asyncio.shield(self._request)

    def _forget(self, _: "asyncio.Task[str | Outcome]") -> None:
        self._request = None

    async def _fetch(self) -> str | Outcome:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        try:
            answer = await self._http.post(self._url, content=self._form, headers=headers)
        except NoAnswer as failure:
            return self._failed(no_answer(f"no access token: {failure.detail}"))
        found = _json_object(answer.body)
        token = found.get("access_token")
        if answer.status != 200 or not isinstance(token, str) or not BEARER.fullmatch(token):
            return self._failed(failure_of(answer, utc_now()))
        life_s = _seconds(found.get("expires_in"))
        margin_s = min(REFRESH_BEFORE_S, life_s / 2)
        self._state = _Issued(token, refresh_at=self._clock() + life_s - margin_s)
        return token

    def _failed(self, outcome: Outcome) -> Outcome:
        self._state = _Failed(outcome, until=self._clock() + HOLD_FAILURE_S)
        return outcome


def failure_of(answer: Answer, now: datetime) -> Outcome:
    """What a refused or broken token request means: 4xx, our credential is wrong; anything else, try later."""
    error = _json_object(answer.body).get("error")
    code = error if isinstance(error, str) and ERROR.fullmatch(error) else f"http_{answer.status}"
    ours = 400 <= answer.status < 500 and answer.status not in (408, 429) and code not in TRANSIENT_ERRORS
    return Outcome(
        kind=OutcomeKind.MISCONFIGURED if ours else OutcomeKind.RETRY,
        code=code,
        retry_after_s=None if ours else retry_after_s(answer.headers, now),
        detail=f"no access token: the token service answered {answer.status}",
    )


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(value: Any) -> float:
    """Entra ID gives `expires_in` as a number or as text."""
    text = str(value)
    return float(text) if text.isascii() and text.isdigit() and 0 < len(text) < 9 else UNSTATED_LIFE_S
