"""The product's HTTP API as devices see it: sometimes slow, sometimes away, now and then too busy."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp

from simulator.fleet.network import Network

log = logging.getLogger(__name__)

CONNECTIONS = 32
DEADLINE_S = 15.0
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
NO_ANSWER, NO_RETRY_AFTER = "no answer", "503 without Retry-After"


class Away(Exception):
    """No answer came; whether the server did what was asked is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    data: Any
    """The parsed body; None where it was not JSON."""
    retry_after_s: float = 0.0

    @property
    def later(self) -> bool:
        """The server asks to be asked again."""
        return self.status == 429 or self.status >= 500


def backoff_s(tries: int, rng: Random) -> float:
    """How long to wait after the n-th failed try, from 1 on: doubling, capped, spread over its upper half."""
    longest = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(tries - 1, 10))
    return rng.uniform(longest / 2, longest)


class Server:
    """One bounded set of connections for all devices. `lossy` requests meet the network's losses."""

    def __init__(self, url: str, network: Network, rng: Random) -> None:
        self.url = url.rstrip("/")
        self._network = network
        self._rng = rng
        self._http: aiohttp.ClientSession | None = None
        self.answers: Counter[str] = Counter()
        """By status; a 503 that does not say when to come back is counted apart, and so is no answer at all."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=DEADLINE_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request under /api/v1. `Away` when no answer comes."""
        assert self._http is not None, "used outside its context"
        fate = self._rng.random()
        if fate < self._network.request_loss:
            await self._lost()
        if self._network.request_median_ms:
            await asyncio.sleep(self._network.request_delay_s(self._rng))
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        own = {"Content-Type": "application/json"} if content is not None else {}
        try:
            async with self._http.request(
                method, f"{self.url}/api/v1{path}", data=content, headers={**own, **(headers or {})}
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.answers[NO_ANSWER] += 1
            raise Away(type(error).__name__) from None
        self.answers[_kind(response)] += 1
        if fate > 1 - self._network.answer_loss:
            await self._lost()
        return Answer(response.status, _parsed(raw), _seconds(response.headers.get("Retry-After", "")))

    async def insist(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask until the server answers something else than "later". The request must bear repetition."""
        tries = 0
        while True:
            tries += 1
            wait_s = backoff_s(tries, self._rng)
            try:
                answer = await self.call(method, path, body, headers=headers)
            except Away as away:
                log.debug("no answer from %s: %s", path, away)
            else:
                if not answer.later:
                    return answer
                wait_s = max(wait_s, answer.retry_after_s)
            await asyncio.sleep(wait_s)

    async def _lost(self) -> None:
        await asyncio.sleep(self._network.patience_s)
        raise Away("lost on the way")


def _kind(response: aiohttp.ClientResponse) -> str:
    if response.status == 503 and "Retry-After" not in response.headers:
        return NO_RETRY_AFTER
    return str(response.status)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _seconds(retry_after: str) -> float:
    """The header's seconds; its other form, a date, is not sent by this product."""
    return float(retry_after) if retry_after.isdecimal() else 0.0
