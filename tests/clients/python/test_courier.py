"""Acks whose server is out of reach, or picky."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from homepot_agent.clock import ServerClock
from homepot_agent.courier import Courier
from homepot_agent.journal import Journal
from homepot_agent.loops import NOTHING_TO_DO_S
from homepot_agent.server import Key, Server
from homepot_agent.store import Store
from homepot_agent.wire import Ack, Message
from tests.processes import free_port


class Picky(BaseHTTPRequestHandler):
    """Answers with what it was told to, and notes what it was asked."""

    status = 200
    answer: Any = {}
    retry_after = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        if self.retry_after:
            self.send_header("Retry-After", self.retry_after)
        body = json.dumps(self.answer).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def picky(status: int, answer: Any, retry_after: str = "") -> Iterator[str]:
    handler = type("Told", (Picky,), {"status": status, "answer": answer, "retry_after": retry_after})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(Journal(tmp_path / "journal", lambda: False))
    made.receive(Message("m-1", {"ack_token": "token"}), 1.0)
    made.receive(Message("m-2", {}), 2.0)
    return made


def courier_of(store: Store, url: str, published: list[Ack] | None = None) -> Courier:
    server = Server(url, ServerClock())
    server.key = Key("dev-1", "key")

    def publish(ack: Ack) -> bool:
        if published is not None:
            published.append(ack)
        return published is not None

    return Courier(server, store, publish)


def owed(store: Store) -> list[str]:
    return [ack.message_id for ack in store.owed(10)]


def test_an_ack_that_nobody_answered_stays_owed(store: Store) -> None:
    wait_s = courier_of(store, f"http://127.0.0.1:{free_port()}").step()

    assert 0 < wait_s <= 1
    assert owed(store) == ["m-1", "m-2"]


def test_the_broker_gets_what_its_token_proves_and_it_stays_owed_until_it_is_named(store: Store) -> None:
    published: list[Ack] = []

    courier_of(store, f"http://127.0.0.1:{free_port()}", published).step()
    before = owed(store)
    store.confirmed_ids(["m-1"])

    assert [ack.message_id for ack in published] == ["m-1"]
    assert (before, owed(store)) == (["m-1", "m-2"], ["m-2"])


def test_a_server_that_asks_to_wait_is_waited_for(store: Store) -> None:
    with picky(503, {"detail": "busy"}, retry_after="120") as url:
        wait_s = courier_of(store, url).step()

    assert wait_s == pytest.approx(120, abs=1)
    assert owed(store) == ["m-1", "m-2"]


def test_what_is_acknowledged_or_rejected_is_settled(store: Store) -> None:
    results = [
        {"message_id": "m-1", "status": "acknowledged"},
        {"message_id": "m-2", "status": "rejected", "detail": "x"},
    ]

    with picky(200, {"results": results}) as url:
        courier = courier_of(store, url)
        first_s, second_s = courier.step(), courier.step()

    assert (first_s, second_s) == (0, NOTHING_TO_DO_S)
    assert owed(store) == []


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"results": None}, {"results": [{}]}, {"results": [None, {"status": "?"}]}, "<html>"]
)
def test_an_answer_that_makes_no_sense_settles_nothing(store: Store, answer: Any) -> None:
    with picky(200, answer) as url:
        wait_s = courier_of(store, url).step()

    assert wait_s > 1
    assert owed(store) == ["m-1", "m-2"]


@pytest.mark.parametrize("status", [302, 401, 403, 404, 413, 422])
def test_a_refusal_settles_nothing_and_is_not_hammered(store: Store, status: int) -> None:
    with picky(status, {"detail": "no"}) as url:
        wait_s = courier_of(store, url).step()

    assert wait_s >= 30
    assert owed(store) == ["m-1", "m-2"]
