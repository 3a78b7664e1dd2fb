"""Web Push against a local push service: what a browser can read, what a push service sees, what its answers mean."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.priority import Priority
from delivery.providers.base import ConfigError, Message
from delivery.providers.blame import REFUSALS_THAT_ACCUSE_US
from delivery.providers.egress import Refused, resolve, rule
from delivery.providers.egress_client import Egress
from delivery.providers.http import Answer
from delivery.providers.vapid import LIFE_S, REFRESH_AFTER_S, RENEW_EVERY_S, Vapid
from delivery.providers.web_push import PUSH_SERVICES, WebPush, outcome_of
from delivery.providers.web_push_message import headers, parse_subscription, payload
from tests.delivery.providers.browser import Browser, base64url, point_of, vapid_claims
from tests.delivery.providers.local_servers import Http1Server, Received, Reply, authority

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
SUBJECT = "mailto:ops@example.com"
CREATED = Reply(201, headers={"location": "https://push.example/m/abc123"})
ENDPOINT = "https://fcm.googleapis.com/fcm/send/secret"
BROWSER = Browser()
COMPRESSED = BROWSER.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
DEFAULT = rule({}, PUSH_SERVICES)


def message(address: str = "", **changes: Any) -> Message:
    made = Message(
        message_id="0190a5b6-0000-7000-8000-000000000001",
        device_id="till-1",
        address=address or BROWSER.address(ENDPOINT),
        content={"title": "Closing", "body": "The shop closes at ten", "data": {"shift": 2}},
        priority=Priority.HIGH,
        sent_at=NOW,
        ttl_s=300,
        ack_token="proof",
        ack_url="https://push.example/api/v1/push/ack",
    )
    return replace(made, **changes)


def web_push(server: Http1Server | None = None, clock: Callable[[], float] | None = None) -> WebPush:
    origins = [f"https://localhost:{server.port}"] if server else []
    return WebPush(
        vapid=Vapid(KEY, SUBJECT, clock) if clock else Vapid(KEY, SUBJECT),
        allowed=rule({"allow_origins": origins}, PUSH_SERVICES),
        egress=Egress(ca_file=authority().ca_file),
    )


def send(provider: WebPush, *messages: Message) -> list[Outcome]:
    async def run() -> list[Outcome]:
        try:
            return await provider.send(messages)
        finally:
            await provider.aclose()

    return asyncio.run(run())


def endpoint(server: Http1Server, name: str = "one") -> str:
    return f"{server.url}/wpush/v2/{name}"


def push(reply: Reply = CREATED, *, browser: Browser = BROWSER, **changes: Any) -> tuple[Outcome, Received]:
    """Send one message to a push service that answers `reply`."""
    with Http1Server(lambda _: reply, tls=True) as server:
        [outcome] = send(web_push(server), message(browser.address(endpoint(server)), **changes))
    return outcome, server.received[0]


# What the browser reads


def test_sends_what_only_the_browser_can_read() -> None:
    browser = Browser()

    outcome, request = push(browser=browser)

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert b"Closing" not in request.body
    assert browser.read(request.body) == {
        "message_id": "0190a5b6-0000-7000-8000-000000000001",
        "sent_at": "2026-11-21T12:00:00+00:00",
        "title": "Closing",
        "body": "The shop closes at ten",
        "priority": "high",
        "data": {"shift": 2},
        "ack_token": "proof",
        "ack_url": "https://push.example/api/v1/push/ack",
        "notification": {"title": "Closing", "body": "The shop closes at ten"},
    }


def test_puts_the_rich_content_into_the_notification() -> None:
    content = {
        "title": "Closing",
        "body": "",
        "icon": "https://cdn.example/i.png",
        "image": "https://cdn.example/big.png",
        "badge": "https://cdn.example/b.png",
        "actions": [{"action": "open", "title": "Open"}],
        "silent": True,
    }

    sent = json.loads(payload(message(content=content, collapse_key="closing")))

    assert sent["notification"] == {**content, "tag": "closing"}


def test_keeps_a_count_out_of_the_notification() -> None:
    sent = json.loads(payload(message(content={"title": "Closing", "badge": 3})))

    assert (sent["badge"], "badge" in sent["notification"]) == (3, False)


def test_shows_nothing_for_data_alone() -> None:
    sent = json.loads(payload(message(content={"data": {"config_url": "https://c.example/2.1"}})))

    assert "notification" not in sent
    assert sent["data"] == {"config_url": "https://c.example/2.1"}


def test_lets_an_order_say_something_to_browsers_alone() -> None:
    own = {"web_push": {"notification": {"title": "For browsers", "requireInteraction": True}}, "fcm": {"x": 1}}

    sent = json.loads(payload(message(content={"title": "For all", "platforms": own})))

    assert sent["notification"] == {"title": "For browsers", "body": "", "requireInteraction": True}
    assert sent["title"] == "For all"
    assert "platforms" not in sent


@pytest.mark.parametrize("platforms", [None, [], "x", {"web_push": None}, {"web_push": {"notification": []}}])
def test_ignores_overrides_that_are_none(platforms: Any) -> None:
    sent = json.loads(payload(message(content={"title": "For all", "platforms": platforms})))

    assert sent["notification"] == {"title": "For all", "body": ""}


def test_survives_text_that_utf8_cannot_hold() -> None:
    assert b"half ?" in payload(message(content={"title": "half \ud83d"}))


# What the push service sees


def test_signs_a_vapid_header_that_an_independent_library_believes() -> None:
    with Http1Server(lambda _: CREATED, tls=True) as server:
        provider = web_push(server)
        send(provider, message(BROWSER.address(endpoint(server))))

    claims, public_key = vapid_claims(server.received[0].headers["authorization"], server.url)
    assert claims["sub"] == SUBJECT
    assert 0 < claims["exp"] - datetime.now(UTC).timestamp() <= 86_400
    assert public_key == provider.public_key == base64url(point_of(KEY))


def test_shares_one_vapid_header_among_many_messages() -> None:
    with Http1Server(lambda _: CREATED, tls=True) as server:
        send(web_push(server), *(message(BROWSER.address(endpoint(server, str(n)))) for n in range(20)))

    assert len({request.headers["authorization"] for request in server.received}) == 1


def test_names_ttl_urgency_encoding_and_length() -> None:
    _, request = push(ttl_s=77, priority=Priority.LOW)

    sent = {name: request.headers[name] for name in ("ttl", "urgency", "content-encoding", "content-length")}
    assert sent == {
        "ttl": "77",
        "urgency": "low",
        "content-encoding": "aes128gcm",
        "content-length": str(len(request.body)),
    }
    assert "topic" not in request.headers


@pytest.mark.parametrize(
    ("priority", "urgency"),
    [(Priority.CRITICAL, "high"), (Priority.HIGH, "high"), (Priority.NORMAL, "normal"), (Priority.LOW, "low")],
)
def test_turns_priority_into_urgency(priority: Priority, urgency: str) -> None:
    assert headers(message(priority=priority))["urgency"] == urgency


def test_asks_for_no_more_than_28_days() -> None:
    assert headers(message(ttl_s=90 * 86_400))["ttl"] == "2419200"


def test_makes_a_topic_of_any_collapse_key() -> None:
    topics = [headers(message(collapse_key=key))["topic"] for key in ("menu", "menu", "prix fixe: été\r\n" * 9)]

    assert topics[0] == topics[1] != topics[2]
    assert all(len(topic) == 32 and set(topic) <= set(ALPHABET) for topic in topics)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_fills_the_4096_bytes_of_a_push_service_and_no_more() -> None:
    spare = WebPush.max_payload_bytes - len(payload(message(content={"data": {"x": ""}})))

    _, request = push(content={"data": {"x": "y" * spare}})

    assert len(request.body) == 4096


def test_refuses_one_byte_more_without_a_connection() -> None:
    spare = WebPush.max_payload_bytes - len(payload(message(content={"data": {"x": ""}})))
    with Http1Server(tls=True) as server:
        large = message(BROWSER.address(endpoint(server)), content={"data": {"x": "y" * (spare + 1)}})

        [outcome] = send(web_push(server), large)

    assert (outcome.kind, outcome.code, server.connections) == (OutcomeKind.REJECTED, "payload_too_large", 0)
    assert len(web_push().payload_bytes(large)) == WebPush.max_payload_bytes + 1


# What its answers mean


def answer(status: int, body: bytes = b"", **named: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in named.items()}, body)


def errno(status: int, number: int) -> Answer:
    return answer(status, json.dumps({"code": status, "errno": number, "error": "..."}).encode())


def reason(status: int, word: str) -> Answer:
    return answer(status, json.dumps({"reason": word}).encode())


@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        (answer(200), "retry", "unreadable_answer"),
        (answer(200, b"<h1>502</h1>", content_type="text/html"), "retry", "unreadable_answer"),
        (answer(200, location="https://push.example/m/1"), "accepted", ""),
        (Answer(201, {}, b" " * 65_536, truncated=True), "retry", "unreadable_answer"),
        (answer(201), "accepted", ""),
        (answer(202), "accepted", ""),
        (answer(204), "accepted", ""),
        (answer(301, location="https://new.example/"), "rejected", "http_301"),
        (answer(302), "rejected", "http_302"),
        (answer(307), "rejected", "http_307"),
        (answer(308), "rejected", "http_308"),
        (answer(400), "rejected", "http_400"),
        (errno(400, 101), "rejected", "errno 101"),
        (errno(400, 108), "rejected", "errno 108"),
        (errno(400, 110), "rejected", "errno 110"),
        (errno(400, 111), "rejected", "errno 111"),
        (errno(400, 112), "rejected", "errno 112"),
        (errno(400, 113), "rejected", "errno 113"),
        (reason(400, "BadWebPushTopic"), "rejected", "BadWebPushTopic"),
        (answer(400, b"<TITLE>UnauthorizedRegistration</TITLE>"), "misconfigured", "http_400"),
        (reason(400, "VapidPkHashMismatch"), "misconfigured", "VapidPkHashMismatch"),
        (errno(401, 109), "misconfigured", "errno 109"),
        (answer(401), "misconfigured", "http_401"),
        (reason(403, "BadJwtToken"), "misconfigured", "BadJwtToken"),
        (answer(403, b"the VAPID credentials do not correspond"), "misconfigured", "http_403"),
        (errno(404, 102), "address_gone", "errno 102"),
        (answer(404), "address_gone", "http_404"),
        (answer(405), "rejected", "http_405"),
        (answer(406), "throttled", "http_406"),
        (answer(408), "retry", "http_408"),
        (errno(410, 103), "address_gone", "errno 103"),
        (errno(410, 105), "address_gone", "errno 105"),
        (errno(410, 106), "address_gone", "errno 106"),
        (reason(410, "Unregistered"), "address_gone", "Unregistered"),
        (errno(413, 104), "rejected", "errno 104"),
        (answer(418), "rejected", "http_418"),
        (answer(425), "retry", "http_425"),
        (errno(429, 201), "throttled", "errno 201"),
        (errno(500, 999), "retry", "errno 999"),
        (answer(501), "retry", "http_501"),
        (errno(502, 900), "retry", "errno 900"),
        (errno(502, 901), "retry", "errno 901"),
        (errno(502, 902), "retry", "errno 902"),
        (errno(502, 903), "retry", "errno 903"),
        (errno(503, 201), "retry", "errno 201"),
        (errno(503, 202), "retry", "errno 202"),
        (answer(504), "retry", "http_504"),
        (answer(101), "retry", "http_101"),
        (answer(600), "retry", "http_600"),
    ],
)
def test_knows_what_an_answer_means(given: Answer, kind: str, code: str) -> None:
    outcome = outcome_of(given, NOW)

    assert (outcome.kind.value, outcome.code) == (kind, code)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b"[" * 60_000,
        b'{"errno": true}',
        b'{"errno": -1}',
        b'{"reason": "a b\\r\\nc"}',
        b"[1]",
        b"\xff",
    ],
)
def test_falls_back_on_the_status_when_the_body_is_garbage(body: bytes) -> None:
    outcome = outcome_of(answer(503, body), NOW)

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, "http_503")


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [("117", 117.0), ("Sat, 21 Nov 2026 12:02:00 GMT", 120.0), ("soon", None), ("-1", None), ("1000000000", 3600.0)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_keeps_the_wait_that_the_push_service_asks_for(status: int, said: str, wait_s: float | None) -> None:
    assert outcome_of(answer(status, retry_after=said), NOW).retry_after_s == wait_s


def test_keeps_the_name_that_the_push_service_gave_the_message() -> None:
    outcome, _ = push()

    assert outcome.provider_message_id == "abc123"


def test_keeps_apples_name_of_the_message() -> None:
    outcome, _ = push(Reply(201, headers={"apns-id": "6A6D-7F"}))

    assert outcome.provider_message_id == "6A6D-7F"


def test_never_follows_a_redirect() -> None:
    with Http1Server(tls=True) as inner:
        outcome, _ = push(Reply(307, headers={"location": inner.url}))

    assert (outcome.kind, outcome.code, inner.connections) == (OutcomeKind.REJECTED, "http_307", 0)


def test_calls_a_reset_after_the_request_an_unknown_outcome() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    with Http1Server(talk=reset, tls=True) as server:
        [outcome] = send(web_push(server), message(BROWSER.address(endpoint(server))))

    assert (outcome.kind, outcome.code, len(server.received)) == (OutcomeKind.RETRY, NO_ANSWER, 1)


def test_calls_a_push_service_that_is_not_there_a_retry() -> None:
    with Http1Server(tls=True) as server:
        provider, address = web_push(server), BROWSER.address(endpoint(server))

    [outcome] = send(provider, message(address))

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)


def test_keeps_the_order_of_the_messages() -> None:
    def by_name(request: Received) -> Reply:
        return Reply(404 if int(request.path.rpartition("/")[2]) % 3 == 0 else 201)

    with Http1Server(by_name, tls=True) as server:
        outcomes = send(web_push(server), *(message(BROWSER.address(endpoint(server, str(n)))) for n in range(30)))

    assert [outcome.kind is OutcomeKind.ADDRESS_GONE for outcome in outcomes] == [n % 3 == 0 for n in range(30)]
    assert len(server.received) == 30


# A header that is refused


def test_signs_anew_once_when_the_header_is_refused() -> None:
    refused: set[str] = set()

    def first_header_is_refused(request: Received) -> Reply:
        refused.add(request.headers["authorization"]) if not refused else None
        return Reply(401) if request.headers["authorization"] in refused else CREATED

    with Http1Server(first_header_is_refused, tls=True) as server:
        outcomes = send(web_push(server), *(message(BROWSER.address(endpoint(server, str(n)))) for n in range(10)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len({request.headers["authorization"] for request in server.received}) == 2


def test_blames_our_key_where_no_message_was_ever_taken() -> None:
    with Http1Server(lambda _: Reply(403), tls=True) as server:
        outcomes = send(web_push(server), *(message(BROWSER.address(endpoint(server, str(n)))) for n in range(10)))

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.MISCONFIGURED}
    assert len(server.received) <= 20


def test_does_not_sign_for_each_message_while_the_key_is_refused() -> None:
    async def one_after_another(provider: WebPush, address: str) -> None:
        for _ in range(10):
            await provider.send_one(message(address))
        await provider.aclose()

    with Http1Server(lambda _: Reply(403), tls=True) as server:
        asyncio.run(one_after_another(web_push(server), BROWSER.address(endpoint(server))))

    assert len(server.received) == 11


def test_blames_the_subscription_where_other_messages_are_taken() -> None:
    def one_is_foreign(request: Received) -> Reply:
        return Reply(403) if request.path.endswith("foreign") else CREATED

    async def taken_then_foreign(provider: WebPush, server: Http1Server) -> list[Outcome]:
        names = ["own", *["foreign"] * (REFUSALS_THAT_ACCUSE_US + 1)]
        outcomes = [await provider.send_one(message(BROWSER.address(endpoint(server, name)))) for name in names]
        await provider.aclose()
        return outcomes

    with Http1Server(one_is_foreign, tls=True) as server:
        taken, *refused, last = asyncio.run(taken_then_foreign(web_push(server), server))

    assert taken.kind is OutcomeKind.ACCEPTED
    assert {outcome.kind for outcome in refused} == {OutcomeKind.REJECTED}
    assert last.kind is OutcomeKind.MISCONFIGURED


def test_refreshes_the_header_long_before_it_expires() -> None:
    now = [NOW.timestamp()]
    vapid = Vapid(KEY, SUBJECT, lambda: now[0])
    first = vapid.header("https://push.example")

    now[0] += REFRESH_AFTER_S - 1
    same = vapid.header("https://push.example")
    now[0] += 2
    fresh = vapid.header("https://push.example")

    assert first == same != fresh
    assert LIFE_S <= 86_400 - 3600
    assert REFRESH_AFTER_S <= LIFE_S / 2


def test_signs_for_each_push_service_apart() -> None:
    vapid = Vapid(KEY, SUBJECT)

    assert vapid.header("https://a.example") != vapid.header("https://b.example")


def test_signs_anew_again_after_a_while() -> None:
    now = [NOW.timestamp()]
    vapid = Vapid(KEY, SUBJECT, lambda: now[0])
    first = vapid.header("https://push.example")

    second = vapid.renewed("https://push.example", refused=first)
    assert second is not None
    too_soon = vapid.renewed("https://push.example", refused=second)
    late_comer = vapid.renewed("https://push.example", refused=first)
    now[0] += RENEW_EVERY_S
    third = vapid.renewed("https://push.example", refused=second)

    assert (too_soon, late_comer) == (None, second)
    assert third not in (None, first, second)


# Subscriptions


def subscription(**changes: Any) -> str:
    return json.dumps({**BROWSER.subscription(ENDPOINT), **changes})


def keys(**changes: Any) -> dict[str, Any]:
    return {**BROWSER.subscription(ENDPOINT)["keys"], **changes}


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "JSON"),
        ("not json", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "endpoint and keys"),
        ("null", "endpoint and keys"),
        (subscription(endpoint=None), "endpoint and keys"),
        (subscription(endpoint=["https://fcm.googleapis.com/"]), "endpoint and keys"),
        (subscription(keys=None), "endpoint and keys"),
        (subscription(keys={}), "p256dh"),
        (subscription(keys=keys(p256dh="")), "p256dh"),
        (subscription(keys=keys(p256dh=7)), "p256dh"),
        (subscription(keys=keys(p256dh="!!!!")), "p256dh"),
        (subscription(keys=keys(p256dh=base64url(b"\x04" + b"\x01" * 64))), "p256dh"),
        (subscription(keys=keys(p256dh=base64url(point_of(BROWSER.key)[:64]))), "p256dh"),
        (subscription(keys=keys(p256dh=base64url(COMPRESSED))), "p256dh"),
        (subscription(keys=keys(auth="")), "auth"),
        (subscription(keys=keys(auth=base64url(b"x" * 15))), "auth"),
        (subscription(endpoint="http://fcm.googleapis.com/x"), "https"),
        (subscription(endpoint="https://evil.example/x"), "allowlist"),
    ],
)
def test_says_what_is_wrong_with_a_subscription(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_subscription(address, DEFAULT)


def test_rejects_a_stored_subscription_that_cannot_be_read() -> None:
    [outcome] = send(web_push(), message("token-of-something-else"))

    assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "invalid_subscription")


def test_takes_keys_with_padding() -> None:
    padded = keys(auth=keys()["auth"] + "==", p256dh=keys()["p256dh"] + "=")

    found = parse_subscription(subscription(keys=padded), DEFAULT)

    assert found.target.url == ENDPOINT


@pytest.mark.parametrize(
    "service",
    [
        "https://fcm.googleapis.com/fcm/send/x",
        "https://updates.push.services.mozilla.com/wpush/v2/x",
        "https://web.push.apple.com/x",
        "https://wns2-am3p.notify.windows.com/w/?token=x",
    ],
)
def test_knows_the_push_services_of_the_browsers(service: str) -> None:
    web_push().check_address(BROWSER.address(service), ask=lambda host: ["9.9.9.9"])


def test_shows_neither_endpoint_nor_keys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = repr(parse_subscription(subscription(), DEFAULT))

    outcome, request = push(Reply(500, b"secret"))

    told = shown + repr(outcome) + caplog.text
    assert not any(secret in told for secret in ("secret", "/wpush/v2", keys()["auth"], keys()["p256dh"], "vapid t="))
    assert "authorization" in request.headers


# Subscriptions that point inward


@pytest.mark.parametrize(
    "inward",
    [
        "https://127.0.0.1:{port}/x",
        "https://127.0.0.1/x",
        "https://localhost:{port}/x",
        "https://[::1]:{port}/x",
        "https://2130706433:{port}/x",
        "http://localhost:{port}/x",
        "http://fcm.googleapis.com:{port}/x",
        "https://fcm.googleapis.com@127.0.0.1:{port}/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
    ],
)
def test_refuses_an_inward_endpoint_at_registration_and_at_send(inward: str) -> None:
    with Http1Server(tls=True) as server:
        address = BROWSER.address(inward.format(port=server.port))
        provider = web_push()

        with pytest.raises(Refused):
            provider.check_address(address)
        [outcome] = send(provider, message(address))

    assert (outcome.kind, outcome.code, server.connections) == (OutcomeKind.REJECTED, "refused_url", 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "100.64.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"])
def test_refuses_a_name_that_points_inward_at_registration_and_at_send(address: str) -> None:
    provider = WebPush(
        vapid=Vapid(KEY, SUBJECT),
        allowed=DEFAULT,
        egress=Egress(resolve=partial(resolve, ask=lambda host: [address])),
    )

    with pytest.raises(Refused, match="not public"):
        provider.check_address(BROWSER.address(ENDPOINT), ask=lambda host: [address])
    [outcome] = send(provider, message())

    assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, "refused_url")


# Settings


def config(**changes: Any) -> dict[str, Any]:
    raw = base64url(KEY.private_numbers().private_value.to_bytes(32))
    return {"private_key": raw, "subject": SUBJECT, **changes}


def pem(tmp_path: Path) -> Path:
    file = tmp_path / "vapid.pem"
    file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def test_reads_the_key_as_base64url_as_a_file_as_text_and_as_der(tmp_path: Path) -> None:
    file = pem(tmp_path)
    der = base64url(KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))

    public_keys = {
        WebPush.from_config(config(**changes)).public_key
        for changes in ({}, {"private_key": str(file)}, {"private_key": file.read_text()}, {"private_key": der})
    }

    assert public_keys == {base64url(point_of(KEY))}


@pytest.mark.parametrize("missing", ["private_key", "subject"])
def test_names_what_is_missing(missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"{missing} is missing: set WEB_PUSH_"):
        WebPush.from_config(config(**{missing: ""}))


@pytest.mark.parametrize("value", ["hunter2", "/no/such/hunter2.pem", "-----BEGIN PRIVATE KEY-----\nhunter2", "é" * 43])
def test_does_not_quote_a_key_that_it_cannot_read(value: str) -> None:
    with pytest.raises(ConfigError, match="WEB_PUSH_PRIVATE_KEY") as failure:
        WebPush.from_config(config(private_key=value))

    assert "hunter2" not in str(failure.value)


def test_makes_no_key_where_the_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        WebPush.from_config(config(private_key=str(tmp_path / "vapid.pem")))

    assert list(tmp_path.iterdir()) == []


def test_takes_no_key_of_another_curve(tmp_path: Path) -> None:
    file = tmp_path / "p384.pem"
    other = ec.generate_private_key(ec.SECP384R1())
    file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    with pytest.raises(ConfigError, match="P-256"):
        WebPush.from_config(config(private_key=str(file)))


@pytest.mark.parametrize(
    "subject", ["someone", "mailto: <a@b.example>", "mailto:", "ftp://a.example", "http://a.example"]
)
def test_takes_no_subject_that_push_services_refuse(subject: str) -> None:
    with pytest.raises(ConfigError, match="WEB_PUSH_CLAIMS_EMAIL"):
        WebPush.from_config(config(subject=subject))


def test_lets_the_operator_allow_more_push_services() -> None:
    provider = WebPush.from_config(config(allowed_hosts=["push.unified.example"]))

    provider.check_address(BROWSER.address("https://push.unified.example/UP"), ask=lambda host: ["9.9.9.9"])
