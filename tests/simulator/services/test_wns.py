"""The emulated WNS over the standard library's HTTP client."""

import json
import socket
import ssl
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest

from simulator.services import EmulatedWns
from tests.simulator.services.clients import Https, Reply, wns_token

MESSAGE_ID = "019a0b1c-7d2e-7f00-8000-00000000000a"
RAW = {"x-wns-type": "wns/raw", "content-type": "application/octet-stream"}
TOAST = {"x-wns-type": "wns/toast", "content-type": "text/xml"}


class Sender:
    def __init__(self, wns: EmulatedWns) -> None:
        self.https = Https(wns.url, wns.ca_file)
        self.channel = wns.new_address()
        self.headers = {"authorization": f"Bearer {wns_token(wns)}"}

    def send(self, body: bytes | str, headers: dict[str, str], channel: str = "") -> Reply:
        return self.https.post(channel or self.channel, body, {**self.headers, **headers})


@pytest.fixture
def sender(wns: EmulatedWns) -> Iterator[Sender]:
    each = Sender(wns)
    with each.https:
        yield each


def test_speaks_http_1_only(wns: EmulatedWns) -> None:
    context = ssl.create_default_context(cafile=wns.ca_file)
    context.set_alpn_protocols(["h2", "http/1.1"])

    with (
        socket.create_connection(("localhost", wns.port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        chosen = tls.selected_alpn_protocol()

    assert chosen == "http/1.1"


@pytest.mark.parametrize("door", ["entra", "live"])
def test_gives_a_token_at_both_doors(wns: EmulatedWns, door: str) -> None:
    mine = json.loads(wns.credentials_file.read_text())
    url, client_id, scope = {
        "entra": (wns.entra_token_url, mine["client_id"], "https://wns.windows.com/.default"),
        "live": (wns.live_token_url, mine["package_sid"], "notify.windows.com"),
    }[door]
    fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": mine["client_secret"]}

    with Https(wns.url, wns.ca_file) as client:
        reply = client.form(url, {**fields, "scope": scope})

    assert reply.status == 200
    assert reply.json()["token_type"] == "bearer"
    assert reply.json()["expires_in"] > 86_000


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_secret": "guessed"}, 401, "invalid_client"),
        ({"client_id": "another"}, 401, "invalid_client"),
        ({"scope": "notify.windows.com"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_refuses_a_wrong_secret_id_scope_or_grant(
    wns: EmulatedWns, changes: dict[str, str], status: int, code: str
) -> None:
    mine = json.loads(wns.credentials_file.read_text())
    fields = {
        "grant_type": "client_credentials",
        "client_id": mine["client_id"],
        "client_secret": mine["client_secret"],
        "scope": "https://wns.windows.com/.default",
    }

    with Https(wns.url, wns.ca_file) as client:
        reply = client.form(wns.entra_token_url, {**fields, **changes})

    assert (reply.status, reply.json()["error"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps({"message_id": MESSAGE_ID}), RAW),
        (f'<toast launch="{escape(json.dumps({"message_id": MESSAGE_ID}))}"/>', TOAST),
        (f'<toast launch="a=1&amp;message_id={MESSAGE_ID}&amp;b=2"/>', TOAST),
    ],
    ids=["raw", "toast with JSON", "toast with a query"],
)
def test_counts_by_the_message_id_that_the_payload_carries(
    wns: EmulatedWns, sender: Sender, body: str, headers: dict[str, str]
) -> None:
    reply = sender.send(body, headers)

    assert (reply.status, reply.headers["x-wns-status"]) == (200, "received")
    assert {"x-wns-msg-id", "x-wns-debug-trace", "ms-cv"} <= reply.headers.keys()
    assert wns.times_accepted(MESSAGE_ID) == 1
    assert wns.accepted()[0].address == sender.channel


def test_tells_the_devices_state_only_when_asked(wns: EmulatedWns, sender: Sender) -> None:
    silent = sender.send(b"x", RAW)
    asked = sender.send(b"x", {**RAW, "x-wns-requestforstatus": "true"})

    assert "x-wns-deviceconnectionstatus" not in silent.headers
    assert asked.headers["x-wns-deviceconnectionstatus"] == "disconnected"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({**RAW, "authorization": "Bearer forged"}, b"x", 401),
        ({**RAW, "content-type": "text/xml"}, b"x", 400),
        ({**TOAST, "x-wns-type": "wns/shout"}, b"x", 400),
        ({"content-type": "text/xml"}, b"x", 400),
        ({**RAW, "x-wns-ttl": "soon"}, b"x", 400),
        ({**RAW, "x-wns-tag": "seventeen-letters"}, b"x", 400),
        (RAW, b"x" * 5001, 413),
        (RAW, b"x" * 5000, 200),
    ],
)
def test_answers_with_the_documented_status(sender: Sender, headers: dict[str, str], body: bytes, status: int) -> None:
    reply = sender.send(body, headers)

    assert reply.status == status
    assert ("x-wns-error-description" in reply.headers) == (status != 200)


def test_takes_no_chunked_body(wns: EmulatedWns, sender: Sender) -> None:
    sender.https._connection.request(
        "POST", sender.channel.removeprefix(wns.url), iter([b"x"]), {**sender.headers, **RAW}, encode_chunked=True
    )

    response = sender.https._connection.getresponse()

    assert (response.status, response.read()) == (400, b"")


def test_knows_no_channel_without_a_token_and_no_other_method(wns: EmulatedWns, sender: Sender) -> None:
    unknown = sender.send(b"x", RAW, channel=f"{wns.url}/w/?nobody")
    wrong_method = sender.https.ask("GET", sender.channel)

    assert (unknown.status, wrong_method.status) == (404, 405)


def test_says_that_a_channel_expired(wns: EmulatedWns, sender: Sender) -> None:
    wns.retire([sender.channel])

    assert sender.send(b"x", RAW).status == 410


@pytest.mark.parametrize("word", ["dropped", "channelthrottled"])
def test_can_answer_200_without_having_taken_the_message(wns: EmulatedWns, sender: Sender, word: str) -> None:
    wns.fails_with(200, word)

    reply = sender.send(b"x", RAW)

    assert (reply.status, reply.headers["x-wns-status"]) == (200, word)
    assert wns.summary()["accepted"] == 0


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [("30", {"x-wns-continue-after": "30"}), ("soon", {"retry-after": "soon"})],
)
def test_asks_to_wait_in_its_own_header(
    wns: EmulatedWns, sender: Sender, retry_after: str, expected: dict[str, str]
) -> None:
    wns.fails_with(406, retry_after=retry_after)

    reply = sender.send(b"x", RAW)

    waits: dict[str, Any] = {name: reply.headers[name] for name in reply.headers if name.endswith("-after")}
    assert (reply.status, waits) == (406, expected)
