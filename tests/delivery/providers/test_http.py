"""The shared transport against real sockets: what comes back, what never does, and what a connection may carry."""

import asyncio
import gzip
import socket
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from delivery.providers.http import Answer, Http, NoAnswer, retry_after_s
from tests.delivery.providers.local_servers import Http1Server, Http2Server, Received, Reply, authority

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    loop: Run = request.param
    return loop


async def post(http: Http, url: str, content: bytes = b"hello", **headers: str) -> Answer:
    try:
        return await http.post(url, content=content, headers=headers)
    finally:
        await http.aclose()


async def post_many(http: Http, url: str, count: int) -> list[Answer | NoAnswer]:
    """Answers and failures in the order of the requests, whose bodies are their numbers."""

    async def one(number: int) -> Answer | NoAnswer:
        try:
            return await http.post(url, content=str(number).encode(), headers={})
        except NoAnswer as unanswered:
            return unanswered

    try:
        return await asyncio.gather(*(one(number) for number in range(count)))
    finally:
        await http.aclose()


def echo(request: Received) -> Reply:
    return Reply(body=request.body, headers={"X-Echo": "Yes"})


# What goes out and comes back


def test_brings_back_status_headers_and_body(run: Run) -> None:
    with Http1Server(echo) as server:
        answer = run(post(Http(), f"{server.url}/a?b=c", b"\x00\xff", authorization="bearer x"))

    assert (answer.status, answer.headers["x-echo"], answer.body, answer.truncated) == (200, "Yes", b"\x00\xff", False)
    [request] = server.received
    assert (request.method, request.path, request.body) == ("POST", "/a?b=c", b"\x00\xff")
    assert request.headers["authorization"] == "bearer x"


def test_brings_back_an_error_status_as_an_answer(run: Run) -> None:
    with Http1Server(lambda _: Reply(503, b"no")) as server:
        answer = run(post(Http(), server.url))

    assert (answer.status, answer.body) == (503, b"no")


def test_survives_from_batch_to_batch_on_one_connection(run: Run) -> None:
    async def three_batches(http: Http, url: str) -> None:
        for _ in range(3):
            await http.post(url, content=b"", headers={})
        await http.aclose()

    with Http1Server() as server:
        run(three_batches(Http(), server.url))

    assert (len(server.received), server.connections) == (3, 1)


def test_opens_again_after_it_was_closed(run: Run) -> None:
    async def close_between(http: Http, url: str) -> None:
        await post(http, url)
        await post(http, url)

    with Http1Server() as server:
        run(close_between(Http(), server.url))

    assert server.connections == 2


def test_follows_no_redirect(run: Run) -> None:
    with Http1Server(lambda _: Reply(307, headers={"Location": "/elsewhere"})) as server:
        answer = run(post(Http(), server.url))

    assert (answer.status, len(server.received)) == (307, 1)


def test_goes_to_the_pinned_address_under_the_name_of_the_url(run: Run) -> None:
    with Http1Server(tls=True) as server:
        http = Http(ca_file=authority().ca_file, resolve={"push.example": "127.0.0.1"})
        answer = run(post(http, f"https://push.example:{server.port}/"))

    assert (answer.status, server.received[0].headers["host"]) == (200, f"push.example:{server.port}")


def test_takes_no_proxy_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    with Http1Server() as server:
        answer = run(post(Http(), server.url))

    assert answer.status == 200


# How much is read


def test_cuts_an_answer_that_is_too_long(run: Run) -> None:
    with Http1Server(lambda _: Reply(body=b"x" * 3_000_000)) as server:
        answer = run(post(Http(), server.url))

    assert (len(answer.body), answer.truncated) == (65536, True)


def test_keeps_an_answer_of_exactly_the_limit(run: Run) -> None:
    with Http1Server(lambda _: Reply(body=b"x" * 1000)) as server:
        answer = run(post(Http(max_answer_bytes=1000), server.url))

    assert (len(answer.body), answer.truncated) == (1000, False)


def test_reads_an_answer_that_comes_in_pieces(run: Run) -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 .\r\ncontent-length: 5\r\n\r\n")
        for letter in b"abcde":
            await asyncio.sleep(0.01)
            writer.write(bytes([letter]))

    with Http1Server(talk=in_pieces) as server:
        answer = run(post(Http(), server.url))

    assert (answer.body, answer.truncated) == (b"abcde", False)


def test_neither_asks_for_nor_unpacks_compression(run: Run) -> None:
    bomb = gzip.compress(b"0" * 1_000_000)
    with Http1Server(lambda _: Reply(body=bomb, headers={"content-encoding": "gzip"})) as server:
        answer = run(post(Http(), server.url))

    assert answer.body == bomb
    assert "accept-encoding" not in server.received[0].headers


# What never comes back


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failure(run: Run, http: Http, url: str, authorization: str = "bearer x") -> NoAnswer:
    with pytest.raises(NoAnswer) as raised:
        run(post(http, url, authorization=authorization))
    return raised.value


@pytest.mark.parametrize("http2", [False, True])
def test_a_refused_connection_sent_nothing(run: Run, http2: bool) -> None:
    unanswered = failure(run, Http(http2=http2), f"https://127.0.0.1:{unused_port()}/secret")

    assert (unanswered.sent, unanswered.detail) == (False, "the connection was refused or the host is unreachable")


def test_an_untrusted_certificate_sent_nothing(run: Run) -> None:
    with Http1Server(tls=True) as server:
        unanswered = failure(run, Http(), server.url)

    assert (unanswered.sent, server.received) == (False, [])
    assert unanswered.detail == "the other side's certificate is not trusted"


def test_a_connection_that_never_gets_ready_sent_nothing(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        unanswered = failure(run, Http(deadline_s=0.4), f"https://127.0.0.1:{mute.getsockname()[1]}/")

    assert (unanswered.sent, unanswered.detail) == (False, "no connection within the deadline")


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 .\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("talk", [hang, drip])
def test_gives_up_at_the_total_deadline(run: Run, talk: Any) -> None:
    with Http1Server(talk=talk) as server:
        started = monotonic()
        unanswered = failure(run, Http(deadline_s=0.4), server.url)
        took_s = monotonic() - started

    assert (unanswered.sent, unanswered.detail) == (True, "no complete answer within the deadline")
    assert 0.3 < took_s < 1.3


def test_lets_go_of_the_connection_of_a_request_that_it_gave_up(run: Run) -> None:
    gone = []

    async def note_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone.append(await reader.read())

    async def give_up(url: str) -> None:
        http = Http(deadline_s=0.2)
        with pytest.raises(NoAnswer):
            await http.post(url, content=b"", headers={})
        await asyncio.sleep(0.1)

    with Http1Server(talk=note_the_end) as server:
        run(give_up(server.url))

        assert gone == [b""]


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 .\r\ncontent-length: 1000\r\n\r\nabc")


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01 this is not HTTP\r\n\r\n")


@pytest.mark.parametrize("talk", [reset, break_off, babble])
def test_what_breaks_after_the_request_may_have_been_taken(run: Run, talk: Any) -> None:
    with Http1Server(talk=talk) as server:
        unanswered = failure(run, Http(deadline_s=2), f"{server.url}/secret")

    assert unanswered.sent
    assert "secret" not in unanswered.detail
    assert "127.0.0.1" not in unanswered.detail


def test_closing_ends_what_is_in_flight(run: Run) -> None:
    async def close_under_way(http: Http, url: str) -> NoAnswer:
        request = asyncio.create_task(http.post(url, content=b"", headers={}))
        await asyncio.sleep(0.2)
        await http.aclose()
        with pytest.raises(NoAnswer) as raised:
            await request
        return raised.value

    with Http1Server(talk=hang) as server:
        unanswered = run(close_under_way(Http(), server.url))

    assert unanswered.sent


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1/", "http://[::1"])
def test_what_is_no_url_sent_nothing(run: Run, url: str) -> None:
    assert not failure(run, Http(), url).sent


def test_a_header_with_a_line_break_sent_nothing(run: Run) -> None:
    with Http1Server() as server:
        unanswered = failure(run, Http(), server.url, authorization="a\r\nX-Evil: b")

    assert (unanswered.sent, server.received) == (False, [])


def test_names_a_ca_file_that_holds_no_certificate(tmp_path: Any) -> None:
    (tmp_path / "empty.pem").write_text("nothing here")

    with pytest.raises(ValueError, match=r"empty\.pem holds no PEM certificate"):
        Http(ca_file=str(tmp_path / "empty.pem"))


# How many at once


@pytest.mark.parametrize("http2", [False, True])
def test_answers_have_the_order_of_the_requests(run: Run, http2: bool) -> None:
    def sooner_for_later(request: Received) -> Reply:
        return Reply(body=request.body, after_s=0.05 - int(request.body) / 1000)

    with Http2Server(sooner_for_later) if http2 else Http1Server(sooner_for_later, tls=True) as server:
        answers = run(post_many(Http(http2=http2, ca_file=authority().ca_file), server.url, 40))

    assert [int(answer.body) for answer in answers] == list(range(40))


def test_has_at_most_a_window_in_flight(run: Run) -> None:
    with Http1Server(lambda _: Reply(after_s=0.01)) as server:
        answers = run(post_many(Http(window=7), server.url, 50))

    assert (len(answers), server.connections) == (50, 7)


def test_waiting_for_a_place_counts_towards_the_deadline(run: Run) -> None:
    with Http1Server(lambda _: Reply(after_s=0.4)) as server:
        first, second = run(post_many(Http(window=1, deadline_s=0.6), server.url, 2))

    assert first.status == 200
    assert isinstance(second, NoAnswer)


def test_what_found_no_place_was_not_sent(run: Run) -> None:
    with Http1Server(lambda _: Reply(after_s=5)) as server:
        _, second = run(post_many(Http(window=1, deadline_s=0.3), server.url, 2))

        assert (second.sent, len(server.received)) == (False, 1)


def test_a_caller_who_stops_waiting_frees_the_place(run: Run) -> None:
    async def cancel_the_second(http: Http, url: str) -> Answer:
        first, second, third = (asyncio.create_task(http.post(url, content=b"", headers={})) for _ in range(3))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        answer = await third
        await http.aclose()
        return answer

    with Http1Server(lambda _: Reply(after_s=0.1)) as server:
        answer = run(cancel_the_second(Http(window=1), server.url))

    assert (answer.status, len(server.received)) == (200, 2)


# HTTP/2: one connection, warmed up


def http2(**options: Any) -> Http:
    return Http(http2=True, ca_file=authority().ca_file, **options)


def test_shares_one_connection(run: Run) -> None:
    with Http2Server(lambda _: Reply(after_s=0.01)) as server:
        answers = run(post_many(http2(), server.url, 300))

    assert {answer.status for answer in answers} == {200}
    assert server.connections == 1
    assert 50 < server.most_at_once <= 100


def test_warms_a_cold_connection_up_with_one_request_alone(run: Run) -> None:
    with Http2Server(lambda _: Reply(after_s=0.02), strict=True) as server:
        answers = run(post_many(http2(), server.url, 100))

    assert {answer.status for answer in answers} == {200}
    assert (server.refused, len(server.received)) == (0, 100)


def test_loses_and_doubles_nothing_over_goaways_of_a_strict_service(run: Run) -> None:
    with Http2Server(lambda _: Reply(after_s=0.005), strict=True, goaway_every=400) as server:
        answers = run(post_many(http2(), server.url, 3000))

    assert [answer for answer in answers if isinstance(answer, NoAnswer)] == []
    assert sorted(int(request.body) for request in server.received) == list(range(3000))
    assert 7 < server.connections < 40


def test_warms_up_again_after_the_connection_broke(run: Run) -> None:
    ports: list[int] = []

    async def batch_break_batch(http: Http) -> list[Answer | NoAnswer]:
        await http.post(f"https://localhost:{ports[0]}/", content=b"", headers={})
        with pytest.raises(NoAnswer):
            await http.post(f"https://127.0.0.1:{unused_port()}/", content=b"", headers={})
        return await post_many(http, f"https://localhost:{ports[1]}/", 50)

    with Http2Server() as first, Http2Server(lambda _: Reply(after_s=0.02), strict=True) as second:
        ports += [first.port, second.port]
        answers = run(batch_break_batch(http2()))

    assert {answer.status for answer in answers} == {200}
    assert second.refused == 0


def test_one_hung_stream_holds_up_nobody_else(run: Run) -> None:
    with Http2Server(lambda request: Reply(after_s=30 if request.body == b"5" else 0)) as server:
        answers = run(post_many(http2(deadline_s=1), server.url, 200))

    assert [number for number, answer in enumerate(answers) if isinstance(answer, NoAnswer)] == [5]


def test_answers_that_were_cut_leave_the_connection_usable(run: Run) -> None:
    with Http2Server(lambda _: Reply(body=b"x" * 1_000_000)) as server:
        answers = run(post_many(http2(), server.url, 30))

    assert {(len(answer.body), answer.truncated) for answer in answers} == {(65536, True)}
    assert server.connections == 1


# Retry-After


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("0", 0),
        ("30", 30),
        (" 7 ", 7),
        ("1000000000", 3600),
        ("9" * 5000, 3600),
        ("Sat, 21 Nov 2026 12:02:00 GMT", 120),
        ("Sat, 21 Nov 2026 12:02:00 -0000", 120),
        ("Sat, 21 Nov 2026 14:02:00 +0200", 120),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 21 Nov 2126 12:00:00 GMT", 3600),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Sat, 99 Nov 2026 99:99:99 GMT", None),
    ],
)
def test_reads_retry_after(value: str, expected_s: float | None) -> None:
    assert retry_after_s({"retry-after": value}, NOW) == expected_s


def test_reads_no_retry_after_where_there_is_none() -> None:
    assert retry_after_s({}, NOW) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{1,9} [-+A-Z0-9]{1,9}"))
def test_reads_any_retry_after_without_an_error(value: str) -> None:
    wait_s = retry_after_s({"retry-after": value}, NOW)

    assert wait_s is None or 0 <= wait_s <= 3600
