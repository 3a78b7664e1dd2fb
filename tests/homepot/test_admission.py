"""Who gets a thread first, who is told to come back, and what never holds a thread."""

import asyncio
import json
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from homepot import admission
from homepot.admission import Admission, Rank, rank_of

ACK = ("POST", "/api/v1/push/ack")
REGISTRATION = ("PUT", "/api/v1/devices/till-1/channels/mqtt")
READ = ("GET", "/api/v1/jobs")
THREADS = 4


class Shop:
    """A synchronous application behind `Admission`; each request stays in its thread until it may go on."""

    def __init__(self) -> None:
        self.acks_wait = False
        self.door = Admission(self._serve, threads=THREADS, acks_wait=lambda: self.acks_wait)
        self.open = threading.Event()
        self.served: list[str] = []
        self.inside = 0
        self.answer = b"{}"

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        request = await receive()
        await sync_to_async(self._view)(scope["path"], request["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})

    def _view(self, path: str, body: bytes) -> None:
        self.inside += 1
        assert self.open.wait(10)
        self.inside -= 1
        self.served.append(path)
        if body == b"fail":
            raise RuntimeError

    async def full_of(self, count: int, inside: int, asked: tuple[str, str] = ACK) -> "list[asyncio.Task[Client]]":
        """That many requests, once so many of them hold a thread."""
        tasks = [asyncio.create_task(self.ask(asked)) for _ in range(count)]
        await self.until_inside(inside)
        return tasks

    async def until_inside(self, count: int) -> None:
        while self.inside < count:  # noqa: ASYNC110  (threads change it)
            await asyncio.sleep(0.005)

    async def ask(self, asked: tuple[str, str], **kind: Any) -> "Client":
        client = Client(**kind)
        method, path = asked
        await self.door({"type": "http", "method": method, "path": path}, client.receive, client.send)
        return client


class Client:
    def __init__(self, body: bytes = b"", *, slow: asyncio.Event | None = None, slow_to_read: bool = False) -> None:
        self._parts = [body]
        self._slow = slow
        self._slow_to_read = slow_to_read
        self.events: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if self._slow is not None and not self._slow_to_read:
            await self._slow.wait()
        if not self._parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._parts.pop(), "more_body": False}

    async def send(self, event: Any) -> None:
        if self._slow is not None and self._slow_to_read:
            await self._slow.wait()
        self.events.append(event)

    @property
    def status(self) -> int:
        return int(self.events[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.events[0]["headers"])

    @property
    def body(self) -> Any:
        return json.loads(self.events[1]["body"])


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 20))


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in Rank:
        monkeypatch.setitem(admission.LONGEST_WAIT_S, rank, 0.05)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in Rank:
        monkeypatch.setitem(admission.LONGEST_WAIT_S, rank, 10.0)


@pytest.mark.parametrize(
    ("method", "path", "rank"),
    [
        ("GET", "/readyz", Rank.PROBE),
        ("POST", "/api/v1/push/ack", Rank.ACK),
        ("POST", "/api/v1/push/ack/batch", Rank.ACK),
        ("POST", "/api/v1/devices/bootstrap-provision", Rank.REGISTRATION),
        ("POST", "/api/v1/agent/device-dna", Rank.REGISTRATION),
        ("PUT", "/api/v1/devices/till-1/channels/fcm", Rank.REGISTRATION),
        ("GET", "/api/v1/push/ack", Rank.REST),
        ("POST", "/api/v1/push/acknowledge", Rank.REST),
        ("POST", "/api/v1/jobs", Rank.REST),
        ("GET", "/admin/", Rank.REST),
    ],
)
def test_a_request_has_the_rank_of_what_it_asks(method: str, path: str, rank: Rank) -> None:
    assert rank_of(method, path) is rank


@pytest.mark.usefixtures("patient")
def test_acks_overtake_registrations_and_these_overtake_reads(shop: Shop) -> None:
    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)
        late = [asyncio.create_task(shop.ask(asked)) for asked in (READ, REGISTRATION, ACK)]
        await asyncio.sleep(0.05)
        shop.door._threads._most_held = dict.fromkeys(Rank, 1)  # one after the other from here
        shop.open.set()
        await asyncio.gather(*busy, *late)

    run(story())

    assert shop.served[THREADS:] == [ACK[1], REGISTRATION[1], READ[1]]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("crowd", "held"), [(READ, 2), (REGISTRATION, 3)])
def test_less_urgent_requests_leave_threads_for_acks(shop: Shop, crowd: tuple[str, str], held: int) -> None:
    async def story() -> None:
        tasks = await shop.full_of(10, held, crowd)
        await asyncio.sleep(0.05)
        assert shop.inside == held

        ack = asyncio.create_task(shop.ask(ACK))
        await shop.until_inside(held + 1)
        shop.open.set()

        assert {(await task).status for task in [ack, *tasks]} == {200}

    run(story())


@pytest.mark.usefixtures("patient")
def test_while_acks_wait_elsewhere_what_is_less_urgent_has_one_thread(shop: Shop) -> None:
    shop.acks_wait = True

    async def story() -> None:
        tasks = await shop.full_of(2, 1, REGISTRATION) + await shop.full_of(2, 1, READ)
        await asyncio.sleep(0.05)
        assert shop.inside == 1

        ack = asyncio.create_task(shop.ask(ACK))
        await shop.until_inside(2)
        shop.open.set()

        assert {(await task).status for task in [ack, *tasks]} == {200}

    run(story())


@pytest.mark.usefixtures("patient")
def test_an_ack_refused_elsewhere_counts_as_one_refused_here(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "CALM_S", 0.5)
    shop.open.set()

    async def story() -> None:
        shop.door.ack_was_refused()
        read = asyncio.create_task(shop.ask(READ))

        assert (await shop.ask(ACK)).status == 200
        assert not read.done()
        assert (await read).status == 200

    run(story())


@pytest.mark.usefixtures("impatient")
def test_who_would_wait_too_long_is_told_when_to_come_back(shop: Shop) -> None:
    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)

        refused = await shop.ask(READ)

        assert refused.status == 503
        assert 1 <= int(refused.headers[b"retry-after"]) <= 10
        assert refused.body["status_code"] == 503
        assert isinstance(refused.body["detail"], str)
        shop.open.set()
        await asyncio.gather(*busy)

    run(story())


def test_nothing_less_urgent_gets_in_just_after_an_ack_was_refused(
    shop: Shop, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(admission.LONGEST_WAIT_S, Rank.ACK, 0.05)
    monkeypatch.setattr(admission, "CALM_S", 0.5)

    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)
        assert (await shop.ask(ACK)).status == 503
        read = asyncio.create_task(shop.ask(READ))
        shop.open.set()
        await asyncio.gather(*busy)

        assert (await shop.ask(ACK)).status == 200
        assert not read.done()
        assert (await read).status == 200

    run(story())


@pytest.mark.usefixtures("patient")
def test_when_too_many_wait_the_last_of_the_least_urgent_goes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_WAITING", 3)

    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)
        reads = [asyncio.create_task(shop.ask(READ)) for _ in range(3)]
        await asyncio.sleep(0.02)
        acks = [asyncio.create_task(shop.ask(ACK)) for _ in range(2)]
        await asyncio.sleep(0.02)
        shop.open.set()
        await asyncio.gather(*busy, *acks, *reads)

        assert [task.result().status for task in acks] == [200, 200]
        assert [task.result().status for task in reads] == [200, 503, 503]

    run(story())


@pytest.mark.usefixtures("patient")
def test_bodies_that_wait_have_a_limit_together(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_WAITING_BYTES", 1500)

    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)
        first = asyncio.create_task(shop.ask(ACK, body=b"x" * 1000))
        await asyncio.sleep(0.02)

        second = await shop.ask(ACK, body=b"x" * 1000)

        shop.open.set()
        assert (second.status, (await first).status) == (503, 200)
        await asyncio.gather(*busy)

    run(story())


def test_a_body_without_end_is_refused_and_not_kept(shop: Shop) -> None:
    async def story() -> None:
        refused = await shop.ask(ACK, body=b"x" * (admission.MOST_BODY_BYTES + 1))

        assert (refused.status, refused.body["status_code"]) == (413, 413)

    run(story())


@pytest.mark.parametrize("slow_to_read", [False, True])
def test_a_slow_client_holds_no_thread(shop: Shop, slow_to_read: bool) -> None:
    shop.open.set()

    async def story() -> None:
        awake = asyncio.Event()
        kind = {"slow": awake, "slow_to_read": slow_to_read}
        slow = [asyncio.create_task(shop.ask(ACK, **kind)) for _ in range(2 * THREADS)]
        await asyncio.sleep(0.05)

        quick = await shop.ask(ACK)

        awake.set()
        assert {client.status for client in [quick, *await asyncio.gather(*slow)]} == {200}

    run(story())


def test_an_answer_too_large_to_keep_goes_out_whole(shop: Shop) -> None:
    shop.open.set()
    shop.answer = b"x" * (admission.MOST_HELD_BYTES + 1)

    async def story() -> None:
        client = await shop.ask(READ)

        assert client.events[1]["body"] == shop.answer

    run(story())


@pytest.mark.usefixtures("patient")
def test_a_request_that_was_cancelled_while_it_waited_leaves_its_place(shop: Shop) -> None:
    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)
        gone = asyncio.create_task(shop.ask(ACK))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.wait({gone})
        shop.open.set()
        await asyncio.gather(*busy)

        after = await asyncio.gather(*(shop.ask(ACK) for _ in range(2 * THREADS)))

        assert {client.status for client in after} == {200}
        assert shop.door._threads.waiting == 0

    run(story())


def test_a_request_that_failed_gives_its_thread_back(shop: Shop) -> None:
    shop.open.set()

    async def story() -> None:
        for _ in range(2 * THREADS):
            with pytest.raises(RuntimeError):
                await shop.ask(ACK, body=b"fail")

        assert (await shop.ask(ACK)).status == 200

    run(story())


@pytest.mark.usefixtures("impatient")
def test_the_process_says_that_it_lives_while_all_threads_are_busy(shop: Shop) -> None:
    async def story() -> None:
        busy = await shop.full_of(THREADS, THREADS)

        probe = asyncio.create_task(shop.ask(("GET", "/livez")))
        await shop.until_inside(THREADS + 1)

        shop.open.set()
        assert (await probe).status == 200
        await asyncio.gather(*busy)

    run(story())
