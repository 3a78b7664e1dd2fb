"""What a service does wrong when its script says so, as a client sees it."""

import gzip
import http.client
import json
import time
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import h2.errors
import h2.events
import pytest

from simulator.services import EmulatedFcm
from tests.simulator.services.clients import (
    Http2,
    Https,
    Reply,
    fcm_token,
    grant,
    is_reset_after,
    send_path,
    service_account,
)

CUT_OFF = (ConnectionError, http.client.HTTPException, OSError)


class Sender:
    def __init__(self, fcm: EmulatedFcm) -> None:
        self.fcm = fcm
        self.headers = {"authorization": f"Bearer {fcm_token(fcm)}"}

    def body(self, token: str = "token-number-1", message_id: str = "m-1") -> bytes:
        return json.dumps({"message": {"token": token, "data": {"message_id": message_id}}}).encode()

    def send(self, token: str = "token-number-1", message_id: str = "m-1") -> Reply:
        """On a connection of its own."""
        with Https(self.fcm.url, self.fcm.ca_file) as client:
            return client.post(send_path(self.fcm), self.body(token, message_id), self.headers)

    def statuses(self, tokens: list[str]) -> list[int]:
        """One send to each of these, on one connection."""
        with Https(self.fcm.url, self.fcm.ca_file) as client:
            return [client.post(send_path(self.fcm), self.body(each), self.headers).status for each in tokens]


@pytest.fixture
def sender(fcm: EmulatedFcm) -> Sender:
    return Sender(fcm)


@pytest.fixture
def many() -> list[str]:
    return [f"token-number-{index}" for index in range(200)]


def test_a_share_of_the_requests_fails(fcm: EmulatedFcm, sender: Sender, many: list[str]) -> None:
    fcm.fails_with(503, share=0.3)

    failed = Counter(sender.statuses(many))[503]

    assert 30 <= failed <= 90
    assert fcm.summary()["accepted"] == 200 - failed


def test_a_share_of_the_addresses_fails_and_always_the_same(fcm: EmulatedFcm, sender: Sender, many: list[str]) -> None:
    fcm.fails_with(503, share=0.3, by="address")

    first, second = sender.statuses(many), sender.statuses(many)

    assert first == second
    assert 30 <= Counter(first)[503] <= 90


def test_only_the_named_addresses_fail(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.fails_with(429, addresses=frozenset({"token-number-2"}))

    assert sender.statuses(["token-number-1", "token-number-2", "token-number-3"]) == [200, 429, 200]


def test_a_fault_ends_by_itself(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.fails_with(503, for_s=0.2)

    before = sender.send().status
    time.sleep(0.25)

    assert (before, sender.send().status) == (503, 200)


def test_the_first_fault_decides_and_the_next_takes_over_when_it_is_ended(fcm: EmulatedFcm, sender: Sender) -> None:
    first = fcm.fails_with(503)
    fcm.fails_with(500)

    before = sender.send().status
    fcm.heals(first)
    between = sender.send().status
    fcm.heals()

    assert (before, between, sender.send().status) == (503, 500, 200)


@pytest.mark.parametrize("retry_after", ["30", "-1", "1000000000", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_retry_after_goes_out_as_it_is_written(fcm: EmulatedFcm, sender: Sender, retry_after: str) -> None:
    fcm.fails_with(503, retry_after=retry_after)

    assert sender.send().headers["retry-after"] == retry_after


def test_retry_after_can_be_a_date_counted_from_the_answer(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.fails_with(503, retry_after="date+90")

    until = parsedate_to_datetime(sender.send().headers["retry-after"])

    assert 88 <= (until - datetime.now(UTC)).total_seconds() <= 90


def test_the_token_endpoint_fails_apart_from_the_sends(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.fails_with(500, at="token")

    with Https(fcm.url, fcm.ca_file) as client:
        token = client.form("/token", grant(service_account(fcm)))

    assert (token.status, sender.send().status) == (500, 200)


def test_a_delayed_message_is_taken(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("delay", delay_s=0.3)
    began_s = time.monotonic()

    reply = sender.send()

    assert reply.status == 200
    assert time.monotonic() - began_s >= 0.3


def test_a_hung_request_is_never_answered_and_not_taken(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("hang")

    with Https(fcm.url, fcm.ca_file) as client:
        client._connection.timeout = 0.3
        with pytest.raises(TimeoutError):
            client.post(send_path(fcm), sender.body(), sender.headers)

    assert fcm.summary()["accepted"] == 0


def test_a_drip_sends_byte_by_byte(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("drip", delay_s=0.002)
    began_s = time.monotonic()

    reply = sender.send()

    assert reply.json()["name"]
    assert time.monotonic() - began_s >= 0.002 * len(reply.body)


def test_a_drip_over_http_2_sends_a_frame_for_each_byte(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("drip", delay_s=0.001)

    with Http2(fcm.port, fcm.ca_file) as client:
        reply = client.ask(send_path(fcm), sender.headers, sender.body())

    frames = [event for event in client.events if isinstance(event, h2.events.DataReceived) and event.data]
    assert len(frames) == len(reply.body)


@pytest.mark.parametrize(("do", "times"), [("reset-before", 0), ("reset-after", 1)])
def test_a_reset_cuts_the_connection_before_or_after_the_message_was_taken(
    fcm: EmulatedFcm, sender: Sender, do: str, times: int
) -> None:
    fcm.does(do)
    body = sender.body()
    head = f"POST {send_path(fcm)} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    request = f"{head}authorization: {sender.headers['authorization']}\r\n\r\n".encode() + body

    was_reset = is_reset_after(request, fcm.port, fcm.ca_file)

    assert was_reset
    assert fcm.times_accepted("m-1") == times


@pytest.mark.parametrize(
    ("body", "check"),
    [
        ("html", lambda reply: reply.body.startswith(b"<!DOCTYPE")),
        ("nothing", lambda reply: reply.body == b""),
        ("gzip-bomb", lambda reply: len(reply.body) < 200_000 and len(gzip.decompress(reply.body)) == 100 << 20),
    ],
)
@pytest.mark.parametrize("version", ["http/1.1", "h2"])
def test_garbage_comes_instead_of_an_answer(
    fcm: EmulatedFcm, sender: Sender, version: str, body: str, check: Any
) -> None:
    fcm.does("garbage", body=body)

    if version == "h2":
        with Http2(fcm.port, fcm.ca_file) as client:
            reply = client.ask(send_path(fcm), sender.headers, sender.body())
    else:
        reply = sender.send()

    assert reply.status == 200
    assert check(reply)
    assert fcm.summary()["accepted"] == 0


def test_99_megabytes_come_instead_of_an_answer(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("garbage", body="huge")

    reply = sender.send()

    assert (reply.status, len(reply.body)) == (200, 99_000_000)


def test_a_client_need_not_read_all_99_megabytes(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("garbage", body="huge")

    with Http2(fcm.port, fcm.ca_file) as client:
        stream_id = client.begin(send_path(fcm), sender.headers, sender.body())
        client.wait(lambda: client.seen(h2.events.DataReceived))
        client.cancel(stream_id, h2.errors.ErrorCodes.CANCEL)
        fcm.heals()
        again = client.ask(send_path(fcm), sender.headers, sender.body())

    assert again.status == 200


def test_dead_addresses_are_a_share_that_rotates(fcm: EmulatedFcm, sender: Sender, many: list[str]) -> None:
    fcm.does("dead", share=0.3, rotate_s=0.5)

    first = sender.statuses(many)
    time.sleep(0.6)
    second = sender.statuses(many)

    assert 30 <= Counter(first)[404] <= 90
    assert 30 <= Counter(second)[404] <= 90
    assert first != second


def test_a_quota_for_the_whole_project(fcm: EmulatedFcm, sender: Sender, many: list[str]) -> None:
    fcm.does("quota", limit=10, window_s=60)

    assert Counter(sender.statuses(many[:30])) == {200: 10, 429: 20}


def test_a_quota_for_each_address(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("quota", limit=2, window_s=60, by="address", retry_after="60")

    assert sender.statuses(["token-number-1"] * 4 + ["token-number-2"]) == [200, 200, 429, 429, 200]


def test_a_quota_opens_again_with_its_next_window(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("quota", limit=1, window_s=0.3)

    before = sender.statuses(["token-number-1"] * 2)
    time.sleep(0.35)

    assert (before, sender.statuses(["token-number-1"])) == ([200, 429], [200])


def test_an_outage_refuses_connections_and_cuts_those_that_are_open(fcm: EmulatedFcm, sender: Sender) -> None:
    with Https(fcm.url, fcm.ca_file) as client:
        client.post(send_path(fcm), sender.body(), sender.headers)
        fcm.does("outage")

        with pytest.raises(CUT_OFF):
            client.post(send_path(fcm), sender.body(), sender.headers)
    with pytest.raises(ConnectionRefusedError):
        sender.send()


def test_the_same_port_answers_again_after_an_outage(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("outage", for_s=0.3)
    time.sleep(0.5)

    assert sender.send().status == 200


def test_goaway_closes_a_kept_connection_of_http_1_too(fcm: EmulatedFcm, sender: Sender) -> None:
    fcm.does("goaway", limit=2)
    before = fcm.summary()["connections_opened"]

    statuses = sender.statuses([f"token-number-{index}" for index in range(6)])

    assert statuses == [200] * 6
    assert fcm.summary()["connections_opened"] - before == 3
