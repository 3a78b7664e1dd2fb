"""Bearer tokens that a service gives and later recognises."""

import hashlib
import hmac
import time
from enum import Enum


class TokenState(Enum):
    GOOD = "good"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class AccessTokens:
    """Tokens are sealed rather than remembered, so that a service that was started again still knows its own."""

    def __init__(self, prefix: str, secret: bytes, life_s: int) -> None:
        self.given = 0
        """How often a token was given."""
        self.life_s = life_s
        self._prefix = prefix
        self._secret = secret
        self._not_before_ms = 0

    def give(self) -> str:
        self.given += 1
        return self._sealed(max(_now_ms(), self._not_before_ms))

    def expire_all(self) -> None:
        """No token given so far is taken any more."""
        self._not_before_ms = _now_ms() + 1

    def state(self, authorization: str) -> TokenState:
        """Of the token in an `Authorization` header."""
        scheme, _, token = authorization.partition(" ")
        given_at_ms, _, _ = token.removeprefix(self._prefix).partition(".")
        if scheme.lower() != "bearer" or not given_at_ms.isdecimal() or len(given_at_ms) > 20:
            return TokenState.UNKNOWN
        if not hmac.compare_digest(self._sealed(int(given_at_ms)).encode(), token.encode()):
            return TokenState.UNKNOWN
        age_ms = _now_ms() - int(given_at_ms)
        expired = int(given_at_ms) < self._not_before_ms or age_ms > self.life_s * 1000
        return TokenState.EXPIRED if expired else TokenState.GOOD

    def _sealed(self, given_at_ms: int) -> str:
        seal = hmac.new(self._secret, str(given_at_ms).encode(), hashlib.sha256).hexdigest()
        return f"{self._prefix}{given_at_ms}.{seal}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
