"""Many clients at once, on one event loop in a thread of its own: each asks again as soon as it was answered.

For journeys and injected faults alike, so nothing here knows pytest or Django.
"""

import asyncio
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psycopg

CLIENT_TIMEOUT_S = 40
AGAIN_AFTER_S = 0.05
"""Between a refusal and the next try: a client that does not heed Retry-After."""


@dataclass(frozen=True, slots=True)
class Ask:
    kind: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Said:
    kind: str
    status: int
    """0: no answer."""
    retry_after: str | None
    took_s: float
    message_ids: Sequence[str]


Source = Callable[[], Ask | None]


class Storm:
    def __init__(self, url: str) -> None:
        self._url = url
        self._sources: list[Source] = []
        self._stopping = threading.Event()
        self._began: float | None = None
        self._lasts_s = math.inf
        self.said: list[Said] = []

    def add(self, clients: int, source: Source) -> None:
        """So many clients. One that is refused asks the same again; it ends when there is nothing more to ask."""
        self._sources += [source] * clients

    @contextmanager
    def blowing(self, lasts_s: float = math.inf) -> Iterator[None]:
        """Until the block ends; no longer than that, if the block does."""
        thread = threading.Thread(target=lambda: asyncio.run(self._blow()))
        self._began, self._lasts_s = time.monotonic(), lasts_s
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join(2 * CLIENT_TIMEOUT_S)

    @property
    def blown_s(self) -> float:
        return 0.0 if self._began is None else time.monotonic() - self._began

    def run_for(self, seconds: float) -> None:
        with self.blowing():
            time.sleep(seconds)

    def statuses(self, kind: str) -> Counter[int]:
        return Counter(said.status for said in self.said if said.kind == kind)

    def refused_share(self, kind: str) -> float:
        statuses = self.statuses(kind)
        return statuses[503] / max(1, statuses.total())

    def acknowledged(self) -> set[str]:
        """Messages whose ack was answered 200."""
        return {message_id for said in self.said if said.status == 200 for message_id in said.message_ids}

    async def _blow(self) -> None:
        timeout = aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            await asyncio.gather(*(self._client(session, source) for source in self._sources))

    async def _client(self, session: aiohttp.ClientSession, source: Source) -> None:
        ask = source()
        while ask is not None and not self._stopping.is_set() and self.blown_s < self._lasts_s:
            said = await self._once(session, ask)
            self.said.append(said)
            if 200 <= said.status < 300:
                ask = source()
            else:
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _once(self, session: aiohttp.ClientSession, ask: Ask) -> Said:
        began = time.monotonic()
        status, retry_after = 0, None
        try:
            async with session.request(
                ask.method, self._url + ask.path, json=ask.body, headers=dict(ask.headers)
            ) as answer:
                await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError):
            pass
        return Said(ask.kind, status, retry_after, time.monotonic() - began, ask.message_ids)


def always(ask: Ask) -> Source:
    return lambda: ask


def single_acks(messages: "deque[tuple[str, str]]") -> Source:
    """One message (its id, its device's) after the other, until none is left."""

    def take() -> Ask | None:
        if not messages:
            return None
        message_id, device_id = messages.popleft()
        body = {"message_id": message_id, "device_id": device_id}
        return Ask("ack", "POST", "/api/v1/push/ack", body, message_ids=[message_id])

    return take


def batched_acks(messages: "deque[tuple[str, str]]", size: int = 10) -> Source:
    def take() -> Ask | None:
        batch = [messages.popleft() for _ in range(min(size, len(messages)))]
        if not batch:
            return None
        body = [{"message_id": message_id, "device_id": device_id} for message_id, device_id in batch]
        return Ask("batch", "POST", "/api/v1/push/ack/batch", body, message_ids=[item[0] for item in batch])

    return take


def sent_messages(database_url: str, count: int) -> list[tuple[str, str]]:
    """Write messages that a provider has accepted, each for a device of its own; their ids and their devices'."""
    with psycopg.connect(database_url) as connection:
        [last] = connection.execute("SELECT coalesce(max(id), 0) FROM delivery_device").fetchone() or [0]
        connection.execute(
            """INSERT INTO delivery_job (job_id, name, target, payload, priority, ttl_s, collapse_key, status, cursor,
                                         last_device, ordered_by, body_hash, created_at, fanned_out_at)
               VALUES (%s, 'Storm', '{}', '{}', 2, 3600, '', 'running', 0, 0, 'key:storm', '', now(), now())""",
            [f"job-storm-{last}"],
        )
        connection.execute(
            """INSERT INTO delivery_device SELECT r.* FROM (SELECT * FROM delivery_device ORDER BY id LIMIT 1) d,
                      generate_series(%s::bigint, %s::bigint) n,
                      LATERAL jsonb_populate_record(NULL::delivery_device, to_jsonb(d) ||
                        jsonb_build_object('id', n, 'device_id', 'storm-' || n, 'name', 'storm-' || n)) r""",
            [last + 1, last + count],
        )
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('delivery_device', 'id'), max(id)) FROM delivery_device"
        )
        return connection.execute(
            """INSERT INTO push_notification_logs (message_id, device_id, job_id, provider, credential, status,
                                                   priority, created_at, sent_at, expires_at)
               SELECT gen_random_uuid(), device_id, %s, 'simulation', 'default', 'sent', 2, now(), now(),
                      now() + interval '1 hour'
               FROM delivery_device WHERE id > %s RETURNING message_id::text, device_id""",
            [f"job-storm-{last}", last],
        ).fetchall()
