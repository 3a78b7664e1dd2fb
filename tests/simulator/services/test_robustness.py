"""Clients that are broken, hostile or gone: the service lives on and says what is documented."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import h2.errors
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.services import EmulatedApns, EmulatedFcm, EmulatedWebPush, EmulatedWns, running
from simulator.services.service import EmulatedService
from simulator.services.web_push import opened
from simulator.services.wire import Answer, Request
from tests.simulator.services.clients import WAIT_S, Http2, Https, apns_jwt, fcm_token, send_path, wns_token

TOKEN = "ab" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.dictionaries(
    st.sampled_from(["token", "data", "android", "notification", "ttl", "priority", "collapse_key", "message_id"]),
    st.just("token-number-1") | JSON | st.dictionaries(st.sampled_from(["ttl", "priority", "message_id"]), JSON),
)


def connected(service: EmulatedService, protocol: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=service.ca_file)
    context.set_alpn_protocols([protocol])
    raw = socket.create_connection(("localhost", service.port), timeout=5)
    return context.wrap_socket(raw, server_hostname="localhost")


def rest(tls: ssl.SSLSocket) -> bytes:
    """What comes until the service closes."""
    got = b""
    while data := tls.recv(65536):
        got += data
    return got


def wait_until(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline_s, "what was waited for did not happen"
        time.sleep(0.01)


def judged(service: EmulatedService, request: Request) -> int:
    """The status of the service's verdict, 200 for a message that it would take."""
    service.address_of(request)
    verdict = service.judge(request)
    if isinstance(verdict, Answer):
        return verdict.status
    assert isinstance(verdict.message_id, str)
    json.dumps(verdict.to_json())
    return service.thanks(request, verdict).status


def test_fcm_has_an_answer_for_any_message() -> None:
    with running(EmulatedFcm()) as fcm:
        headers = {"authorization": f"Bearer {fcm_token(fcm)}"}

        @settings(max_examples=300, deadline=None)
        @given(content=JSON | st.fixed_dictionaries({"message": PARTS | JSON}))
        def check(content: Any) -> None:
            body = json.dumps(content).encode()
            request = Request(method="POST", path=send_path(fcm), headers=headers, body=body)
            assert judged(fcm, request) in (200, 400)

        check()


def test_apns_has_an_answer_for_any_body_and_headers() -> None:
    with running(EmulatedApns()) as apns:
        good = {"authorization": f"bearer {apns_jwt(apns)}", "apns-topic": apns.topic}
        names = ["apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "apns-id"]

        @settings(max_examples=300, deadline=None)
        @given(
            body=st.binary() | JSON.map(lambda content: json.dumps(content).encode()),
            headers=st.dictionaries(st.sampled_from(names), st.text() | st.integers(0, 10**12).map(str)),
        )
        def check(body: bytes, headers: dict[str, str]) -> None:
            request = Request(method="POST", path=f"/3/device/{TOKEN}", headers={**good, **headers}, body=body)
            assert judged(apns, request) in (200, 400, 413)

        check()


def test_wns_has_an_answer_for_any_body_and_headers() -> None:
    with running(EmulatedWns()) as wns:
        usual = {"authorization": f"Bearer {wns_token(wns)}", "content-type": "text/xml", "x-wns-type": "wns/toast"}
        names = ["content-type", "x-wns-type", "x-wns-ttl", "x-wns-cache-policy", "x-wns-tag", "authorization"]

        @settings(max_examples=300, deadline=None)
        @given(body=st.binary(), path=st.text(), headers=st.dictionaries(st.sampled_from(names), st.text()))
        def check(body: bytes, path: str, headers: dict[str, str]) -> None:
            sent = {"content-length": str(len(body)), **usual, **headers}
            request = Request(method="POST", path=f"/w/?token={path}", headers=sent, body=body)
            assert judged(wns, request) in (200, 400, 401, 413)

        check()


def test_web_push_has_an_answer_for_any_body_and_headers() -> None:
    with running(EmulatedWebPush()) as web_push:
        path = json.loads(web_push.new_address())["endpoint"].removeprefix(web_push.url)
        names = ["authorization", "ttl", "topic", "content-encoding", "urgency"]
        vapid = st.tuples(st.text(), st.text()).map(lambda pair: f"vapid t={pair[0]},k={pair[1]}")

        @settings(max_examples=300, deadline=None)
        @given(body=st.binary(), headers=st.dictionaries(st.sampled_from(names), st.text() | vapid))
        def check(body: bytes, headers: dict[str, str]) -> None:
            request = Request(method="POST", path=path, headers=headers, body=body)
            assert judged(web_push, request) in (400, 401)

        check()


@settings(max_examples=300, deadline=None)
@given(body=st.binary(min_size=1, max_size=300))
def test_no_browser_opens_what_was_not_encrypted_for_it(body: bytes) -> None:
    assert opened(b"seed", "name", body) is None


def test_what_is_not_http_ends_its_connection_and_nothing_else(fcm: EmulatedFcm) -> None:
    with connected(fcm, "http/1.1") as first, connected(fcm, "h2") as second:
        first.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        second.sendall(b"PRI * HTTP/3.0\r\n\r\nnonsense\r\n\r\n")

        refusal, goaway = rest(first), rest(second)

    assert refusal.startswith(b"HTTP/1.1 400")
    assert goaway
    assert fcm_token(fcm)


def test_requests_that_are_piped_are_answered_in_order(fcm: EmulatedFcm) -> None:
    fcm.does("delay", delay_s=0.05, at="token")
    with connected(fcm, "http/1.1") as tls:
        tls.sendall(b"POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        tls.sendall(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

        answers = rest(tls)

    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"400", b"404"]


def test_a_client_that_gives_up_a_stream_keeps_its_connection(apns: EmulatedApns) -> None:
    headers = {"authorization": f"bearer {apns_jwt(apns)}", "apns-topic": apns.topic}
    with Http2(apns.port, apns.ca_file) as client:
        client.ask(f"/3/device/{TOKEN}", headers, b'{"aps":{}}')
        apns.does("hang")
        hung = client.begin(f"/3/device/{TOKEN}", headers, b'{"aps":{}}')
        wait_until(lambda: apns.summary()["requests"] == 2)
        client.cancel(hung, h2.errors.ErrorCodes.CANCEL)
        apns.heals()

        reply = client.ask(f"/3/device/{TOKEN}", headers, b'{"aps":{}}')

    assert reply.status == 200
    assert apns.summary()["accepted"] == 2


def test_a_client_that_leaves_during_a_drip_is_forgotten(fcm: EmulatedFcm) -> None:
    fcm.does("drip", delay_s=0.05)
    for protocol in ("http/1.1", "h2"):
        with connected(fcm, protocol) as tls:
            if protocol == "http/1.1":
                tls.sendall(b"GET /v1/messages:send HTTP/1.1\r\nhost: x\r\n\r\n")
            time.sleep(0.1)

    wait_until(lambda: fcm.summary()["connections_open"] == 0)


def test_a_body_of_two_megabytes_is_refused_while_it_comes(fcm: EmulatedFcm) -> None:
    with connected(fcm, "http/1.1") as tls:
        tls.sendall(b"POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")
        try:
            for _ in range(90):
                tls.sendall(bytes(100_000))
            cut_off = rest(tls) == b""
        except OSError:
            cut_off = True

    assert cut_off
    with Https(fcm.url, fcm.ca_file) as client:
        assert client.post("/token").status == 400
