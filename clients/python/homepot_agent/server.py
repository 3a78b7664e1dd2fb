"""The server's HTTP API as one device calls it. What comes of a call is returned, never raised."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from homepot_agent.clock import ServerClock
from homepot_agent.wire import PREFIX, as_json

log = logging.getLogger(__name__)

CONNECT_S = 5.0
READ_S = 15.0
CONNECTIONS = 8
LONGEST_ANSWER_BYTES = 4 << 20
LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    """0: no answer came, and whether the server did what was asked is unknown."""
    data: Any = None
    """The body, parsed; None where it was not JSON."""
    retry_after_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status in (200, 201)

    @property
    def later(self) -> bool:
        """Nobody refused: the same call may succeed later."""
        return self.status in (0, 408, 429) or self.status >= 500

    @property
    def text(self) -> str:
        """What the server says, for people."""
        detail = self.data.get("detail") if isinstance(self.data, dict) else None
        return f"{self.status} {detail if detail is not None else ''}".strip()


@dataclass(frozen=True, slots=True)
class Key:
    device_id: str
    api_key: str


class Server:
    """`on_change` is told when the server is reached again, and when it no longer is."""

    def __init__(
        self, url: str, clock: ServerClock, *, ca_file: str = "", on_change: Callable[[bool], None] = lambda _: None
    ) -> None:
        self.url = url.rstrip("/")
        self.key: Key | None = None
        self.reachable = False
        self.problem = ""
        """Why no answer came, in words; empty where the last call was answered."""
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
            ca_certs=ca_file or None,
        )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        keyed: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request below /api/v1. `keyed`: with the device's key."""
        sent = dict(headers or {})
        if keyed and self.key is not None:
            sent |= {"X-Device-ID": self.key.device_id, "X-API-Key": self.key.api_key}
        content = None if body is None else as_json(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        asked_at = self._clock.steady_s()
        try:
            response = self._pool.request(
                method, self.url + PREFIX + path, body=content, headers=sent, redirect=False, preload_content=False
            )
            raw = response.read(LONGEST_ANSWER_BYTES)
            response.drain_conn()
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            log.debug("%s %s: %s", method, path, error)
            self._reached(False, _why(error))
            return Answer(0)
        self._clock.date_header(response.headers.get("Date", ""), asked_at, self._clock.steady_s())
        answer = Answer(response.status, _parsed(raw), _seconds(response.headers.get("Retry-After", "")))
        self._reached(True)
        return answer

    def close(self) -> None:
        self._pool.clear()

    def _reached(self, reached: bool, problem: str = "") -> None:
        with self._lock:
            changed = self.reachable != reached or self.problem != problem
            self.reachable, self.problem = reached, problem
        if changed and problem:
            log.warning("no answer from %s: %s", self.url, problem)
        if changed:
            self._on_change(reached)


def unsafe(url: str) -> str:
    """Why a key must not travel to this address; empty where it may."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return ""
    if parts.scheme != "http" or not parts.hostname:
        return f"'{url}' is no address of a server: write it as https://push.example.com"
    if parts.hostname in LOCAL:
        return ""
    return (
        f"{url} would carry the device's key readable for anybody on the way: use https, or allow it with --allow-http"
    )


def _why(error: Exception) -> str:
    """What kept an answer away, as people have to know it."""
    match error:
        case urllib3.exceptions.SSLError():
            return "its certificate is not trusted; --ca-file names the authority that signed it"
        case urllib3.exceptions.NameResolutionError():
            return "its name is not known; check --server"
        case urllib3.exceptions.NewConnectionError():
            return "nobody answers there"
        case urllib3.exceptions.TimeoutError():
            return "it takes too long"
        case _:
            return "the connection broke"


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _seconds(retry_after: str) -> float:
    """The header's seconds; its other form, a date, is not sent by this product."""
    return min(float(retry_after), 3_600.0) if retry_after.isdecimal() else 0.0
