"""APNs: what goes out, what each answer leads to, and whose token it is."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.priority import Priority
from delivery.providers.apns import OUTCOMES, Apns, collapse_id
from delivery.providers.base import ConfigError, Message
from tests.delivery.providers.local_servers import Http2Server, Received, Reply, authority

KEY = ec.generate_private_key(ec.SECP256R1())
ADDRESS = "a1" * 32
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
MESSAGE = Message(
    message_id="0193a1b2-0000-7000-8000-000000000001",
    device_id="till-1",
    address=ADDRESS,
    content={"title": "Update", "body": "2.1 is there", "data": {"version": "2.1"}},
    priority=Priority.HIGH,
    sent_at=NOW,
    ttl_s=3600,
    ack_token="secret-ack",
    ack_url="https://push.example/api/v1/push/ack",
)


def like_apple(request: Received) -> Reply:
    return Reply(headers={"apns-id": request.headers["apns-id"]})


def refusal(status: int, reason: str, **more: Any) -> Callable[[Received], Reply]:
    return lambda _: Reply(status, json.dumps({"reason": reason, **more}).encode())


def apns(url: str, **options: Any) -> Apns:
    arguments: dict[str, Any] = {
        "key": KEY,
        "key_id": "KEY1234567",
        "team_id": "TEAM123456",
        "topic": "org.homepot.agent",
        "url": url,
        "sandbox_url": "https://127.0.0.1:1",
        "ca_file": authority().ca_file,
        "clock": lambda: NOW,
    }
    return Apns(**{**arguments, **options})


def send(provider: Apns, messages: Sequence[Message]) -> list[Outcome]:
    async def once() -> list[Outcome]:
        try:
            return await provider.send(messages)
        finally:
            await provider.aclose()

    return asyncio.run(once())


def sent(message: Message) -> Received:
    """What APNs sees of a message that it takes."""
    with Http2Server(like_apple) as server:
        [outcome] = send(apns(server.url), [message])
    assert outcome.kind is OutcomeKind.ACCEPTED
    [request] = server.received
    return request


def outcome_of(answer: Callable[[Received], Reply]) -> Outcome:
    with Http2Server(answer) as server:
        [outcome] = send(apns(server.url), [MESSAGE])
    return outcome


def with_content(**content: Any) -> Message:
    return replace(MESSAGE, content=content)


def aps(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(sent(message).body)["aps"]
    return content


# What goes out


def test_posts_to_the_device_under_our_own_message_id() -> None:
    request = sent(MESSAGE)

    assert (request.method, request.path) == ("POST", f"/3/device/{ADDRESS}")
    assert request.headers["apns-id"] == MESSAGE.message_id
    assert request.headers["apns-topic"] == "org.homepot.agent"


def test_keeps_the_flat_keys_of_the_wire_contract_beside_aps() -> None:
    content = json.loads(sent(MESSAGE).body)

    assert content.pop("aps") == {"alert": {"title": "Update", "body": "2.1 is there"}}
    assert content == {
        "message_id": MESSAGE.message_id,
        "sent_at": "2026-11-21T12:30:00+00:00",
        "title": "Update",
        "body": "2.1 is there",
        "priority": "high",
        "data": {"version": "2.1"},
        "ack_token": "secret-ack",
        "ack_url": "https://push.example/api/v1/push/ack",
    }


def test_shows_an_image_a_badge_a_sound_buttons_and_a_group() -> None:
    rich = with_content(
        title="Update",
        subtitle="Till 1",
        image="https://x.example/a.png",
        badge=0,
        sound="ping",
        category="ASK",
        thread_id="t1",
    )

    assert aps(rich) == {
        "alert": {"title": "Update", "subtitle": "Till 1"},
        "badge": 0,
        "sound": "ping",
        "category": "ASK",
        "thread-id": "t1",
        "mutable-content": 1,
    }


@pytest.mark.parametrize(
    "content", [{"data": {"a": 1}}, {"title": "", "body": ""}, {"title": "Hi", "badge": 3, "data_only": True}]
)
def test_wakes_the_app_quietly_where_there_is_nothing_to_show(content: dict[str, Any]) -> None:
    request = sent(with_content(**content))

    assert json.loads(request.body)["aps"] == {"content-available": 1}
    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("background", "5")


@pytest.mark.parametrize(
    ("priority", "expected"),
    [(Priority.CRITICAL, "10"), (Priority.HIGH, "10"), (Priority.NORMAL, "5"), (Priority.LOW, "1")],
)
def test_translates_the_priority(priority: Priority, expected: str) -> None:
    request = sent(replace(MESSAGE, priority=priority))

    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("alert", expected)


@pytest.mark.parametrize(("ttl_s", "stored_s"), [(1, 1), (3600, 3600), (10**9, 30 * 86400)])
def test_lets_apple_store_it_as_long_as_it_lives(ttl_s: int, stored_s: int) -> None:
    request = sent(replace(MESSAGE, ttl_s=ttl_s))

    assert int(request.headers["apns-expiration"]) == int(NOW.timestamp()) + stored_s


def test_sends_no_collapse_id_without_a_collapse_key() -> None:
    assert "apns-collapse-id" not in sent(MESSAGE).headers


@pytest.mark.parametrize("key", ["prices", "x" * 64])
def test_passes_a_collapse_key_on(key: str) -> None:
    assert sent(replace(MESSAGE, collapse_key=key)).headers["apns-collapse-id"] == key


@pytest.mark.parametrize("key", ["x" * 65, "prix à jour", "a\r\nb: c", " "])
def test_hashes_a_collapse_key_that_apple_would_refuse(key: str) -> None:
    collapsed = collapse_id(key)

    assert len(collapsed.encode()) == 64
    assert collapsed == collapse_id(key) != collapse_id(key + "2")


def test_lets_an_order_override_aps_and_four_headers() -> None:
    override = {
        "aps": {"interruption-level": "time-sensitive"},
        "headers": {
            "apns-push-type": "voip",
            "apns-topic": "org.homepot.agent.voip",
            "apns-priority": "5\r\nx: y",
            "authorization": "mine",
        },
    }

    request = sent(with_content(title="Hi", platforms={"apns": override}))

    content = json.loads(request.body)
    assert content["aps"] == {"alert": {"title": "Hi"}, "interruption-level": "time-sensitive"}
    assert "platforms" not in content
    assert request.headers["apns-push-type"] == "voip"
    assert request.headers["apns-topic"] == "org.homepot.agent.voip"
    assert request.headers["apns-priority"] == "10"
    assert request.headers["authorization"] != "mine"


@pytest.mark.parametrize("platforms", [None, [], {"apns": 1}, {"apns": {"aps": 2, "headers": "x"}}])
def test_an_override_of_another_shape_changes_nothing(platforms: Any) -> None:
    assert aps(with_content(title="Hi", platforms=platforms)) == {"alert": {"title": "Hi"}}


@pytest.mark.parametrize("environment", ["", "production"])
def test_goes_to_production_unless_told_otherwise(environment: str) -> None:
    with Http2Server(like_apple) as production, Http2Server(like_apple) as sandbox:
        provider = apns(production.url, sandbox_url=sandbox.url)
        send(provider, [replace(MESSAGE, environment=environment)])

    assert (len(production.received), len(sandbox.received)) == (1, 0)


def test_goes_to_the_sandbox_for_a_channel_of_the_sandbox() -> None:
    with Http2Server(like_apple) as production, Http2Server(like_apple) as sandbox:
        provider = apns(production.url, sandbox_url=sandbox.url)
        outcomes = send(provider, [MESSAGE, replace(MESSAGE, environment="sandbox")])

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.ACCEPTED] * 2
    assert (len(production.received), len(sandbox.received)) == (1, 1)


@pytest.mark.parametrize("address", ["", "xyz", "a1/../../3/device/b2", "a1\r\nx: y"])
def test_sends_nothing_to_what_is_no_token(address: str) -> None:
    with Http2Server(like_apple) as server:
        [outcome] = send(apns(server.url), [replace(MESSAGE, address=address)])

    assert (outcome.kind, outcome.code, server.received) == (OutcomeKind.REJECTED, "malformed_address", [])


# Whose token it is


def token_of(request: Received) -> str:
    scheme, _, token = request.headers["authorization"].partition(" ")
    assert scheme == "bearer"
    return token


def claims_of(token: str) -> dict[str, Any]:
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"}
    options: Any = {"verify_iat": False}
    claims: dict[str, Any] = jwt.decode(token, KEY.public_key(), algorithms=["ES256"], options=options)
    return claims


def tokens_at(*moments: datetime) -> list[str]:
    """The tokens of one process that sends a message at each of the moments."""
    clock = iter([moment for moment in moments for _ in range(2)])

    async def one_by_one(provider: Apns) -> None:
        for _ in moments:
            await provider.send([MESSAGE])
        await provider.aclose()

    with Http2Server(like_apple) as server:
        asyncio.run(one_by_one(apns(server.url, clock=lambda: next(clock))))
    return [token_of(request) for request in server.received]


def test_signs_for_its_team_at_a_boundary_of_40_minutes() -> None:
    claims = claims_of(token_of(sent(MESSAGE)))

    assert claims["iss"] == "TEAM123456"
    assert claims["iat"] % 2400 == 0
    assert 0 <= NOW.timestamp() - claims["iat"] < 2400


def test_every_process_sends_the_same_token() -> None:
    boundary = datetime.fromtimestamp(int(NOW.timestamp()) // 2400 * 2400, UTC)

    first, second = tokens_at(boundary), tokens_at(boundary + timedelta(seconds=2399))

    assert first == second


def test_a_token_is_replaced_at_the_boundary_and_not_before() -> None:
    boundary = datetime.fromtimestamp(int(NOW.timestamp()) // 2400 * 2400, UTC)

    old, same, new = tokens_at(boundary, boundary + timedelta(seconds=2399), boundary + timedelta(seconds=2400))

    assert old == same != new
    assert claims_of(new)["iat"] - claims_of(old)["iat"] == 2400


def expired_unless_younger_than(age_s: int) -> Callable[[Received], Reply]:
    def answer(request: Received) -> Reply:
        if NOW.timestamp() - claims_of(token_of(request))["iat"] >= age_s:
            return Reply(403, b'{"reason":"ExpiredProviderToken"}')
        return like_apple(request)

    return answer


def test_a_token_that_apple_calls_expired_is_replaced_once_and_no_message_is_burnt() -> None:
    assert 1200 <= NOW.timestamp() % 2400 < 2400

    with Http2Server(expired_unless_younger_than(1200)) as server:
        outcomes = send(apns(server.url), [MESSAGE] * 30)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len({token_of(request) for request in server.received}) == 2


def test_apple_refusing_every_token_as_expired_is_our_clock() -> None:
    with Http2Server(refusal(403, "ExpiredProviderToken")) as server:
        [outcome] = send(apns(server.url), [MESSAGE])

    assert (outcome.kind, outcome.code) == (OutcomeKind.MISCONFIGURED, "ExpiredProviderToken")
    assert "clock" in outcome.detail
    assert len(server.received) == 2


# What each answer leads to

ANSWERS = [
    (400, "BadCollapseId", OutcomeKind.REJECTED),
    (400, "BadDeviceToken", OutcomeKind.ADDRESS_GONE),
    (400, "BadExpirationDate", OutcomeKind.REJECTED),
    (400, "BadMessageId", OutcomeKind.REJECTED),
    (400, "BadPriority", OutcomeKind.REJECTED),
    (400, "BadTopic", OutcomeKind.MISCONFIGURED),
    (400, "DeviceTokenNotForTopic", OutcomeKind.ADDRESS_GONE),
    (400, "DuplicateHeaders", OutcomeKind.REJECTED),
    (400, "IdleTimeout", OutcomeKind.RETRY),
    (400, "InvalidPushType", OutcomeKind.REJECTED),
    (400, "MissingDeviceToken", OutcomeKind.REJECTED),
    (400, "MissingTopic", OutcomeKind.MISCONFIGURED),
    (400, "PayloadEmpty", OutcomeKind.REJECTED),
    (400, "TopicDisallowed", OutcomeKind.MISCONFIGURED),
    (403, "BadCertificate", OutcomeKind.MISCONFIGURED),
    (403, "BadCertificateEnvironment", OutcomeKind.MISCONFIGURED),
    (403, "ExpiredProviderToken", OutcomeKind.MISCONFIGURED),
    (403, "Forbidden", OutcomeKind.MISCONFIGURED),
    (403, "InvalidProviderToken", OutcomeKind.MISCONFIGURED),
    (403, "MissingProviderToken", OutcomeKind.MISCONFIGURED),
    (403, "UnrelatedKeyIdInToken", OutcomeKind.RETRY),
    (403, "BadEnvironmentKeyIdInToken", OutcomeKind.MISCONFIGURED),
    (403, "BadEnvironmentKeyInToken", OutcomeKind.MISCONFIGURED),
    (404, "BadPath", OutcomeKind.REJECTED),
    (405, "MethodNotAllowed", OutcomeKind.REJECTED),
    (410, "ExpiredToken", OutcomeKind.ADDRESS_GONE),
    (410, "Unregistered", OutcomeKind.ADDRESS_GONE),
    (413, "PayloadTooLarge", OutcomeKind.REJECTED),
    (429, "TooManyProviderTokenUpdates", OutcomeKind.MISCONFIGURED),
    (429, "TooManyRequests", OutcomeKind.RETRY),
    (500, "InternalServerError", OutcomeKind.RETRY),
    (503, "ServiceUnavailable", OutcomeKind.RETRY),
    (503, "Shutdown", OutcomeKind.RETRY),
]


@pytest.mark.parametrize(("status", "reason", "kind"), ANSWERS, ids=[reason for _, reason, _ in ANSWERS])
def test_a_documented_reason_leads_to(status: int, reason: str, kind: OutcomeKind) -> None:
    outcome = outcome_of(refusal(status, reason))

    assert (outcome.kind, outcome.code) == (kind, reason)


def test_the_table_above_has_every_reason_of_the_module() -> None:
    assert {reason for _, reason, _ in ANSWERS} == set(OUTCOMES)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, OutcomeKind.MISCONFIGURED),
        (400, OutcomeKind.REJECTED),
        (401, OutcomeKind.MISCONFIGURED),
        (403, OutcomeKind.MISCONFIGURED),
        (404, OutcomeKind.REJECTED),
        (410, OutcomeKind.REJECTED),
        (418, OutcomeKind.MISCONFIGURED),
        (429, OutcomeKind.RETRY),
        (500, OutcomeKind.RETRY),
        (502, OutcomeKind.RETRY),
    ],
)
@pytest.mark.parametrize("body", [b'{"reason":"BrandNewReason"}', b"<html>Bad Gateway</html>", b"", b"[" * 20_000])
def test_an_unknown_answer_counts_by_its_status_and_disables_nothing(
    status: int, body: bytes, kind: OutcomeKind
) -> None:
    outcome = outcome_of(lambda _: Reply(status, body))

    assert (outcome.kind, outcome.code) == (kind, "BrandNewReason" if b"Brand" in body else f"http_{status}")


def test_an_accepted_message_carries_apples_id() -> None:
    outcome = outcome_of(lambda _: Reply(headers={"apns-id": "ABC"}))

    assert (outcome.kind, outcome.provider_message_id) == (OutcomeKind.ACCEPTED, "ABC")


@pytest.mark.parametrize("body", [b"", b"<html>welcome</html>", b" " * 300_000, b"\x1f\x8b\x08\x00"])
def test_a_200_that_is_not_apples_is_an_unknown_outcome(body: bytes) -> None:
    outcome = outcome_of(lambda _: Reply(body=body))

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, "unreadable_answer")


@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
def test_says_since_when_an_address_is_gone(reason: str) -> None:
    outcome = outcome_of(refusal(410, reason, timestamp=1_763_640_000_123))

    assert outcome.gone_since == datetime(2025, 11, 20, 12, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize("timestamp", [None, "soon", 1.5e400, 10**30, -(10**30)])
def test_a_moment_that_is_none_is_left_out(timestamp: Any) -> None:
    outcome = outcome_of(refusal(410, "Unregistered", timestamp=timestamp))

    assert (outcome.kind, outcome.gone_since) == (OutcomeKind.ADDRESS_GONE, None)


def test_keeps_the_wait_that_apple_asks_for() -> None:
    outcome = outcome_of(lambda _: Reply(503, b'{"reason":"ServiceUnavailable"}', {"retry-after": "30"}))

    assert outcome.retry_after_s == 30


def test_too_many_token_updates_pause_for_as_long_as_a_token_must_live() -> None:
    assert outcome_of(refusal(429, "TooManyProviderTokenUpdates")).retry_after_s == 1200


def test_opens_a_new_connection_where_apple_knows_another_key_on_this_one() -> None:
    async def twice(provider: Apns) -> list[Outcome]:
        outcomes = [await provider.send_one(MESSAGE), await provider.send_one(MESSAGE)]
        await provider.aclose()
        return outcomes

    answers = iter([refusal(403, "UnrelatedKeyIdInToken"), like_apple])
    with Http2Server(lambda request: next(answers)(request)) as server:
        first, second = asyncio.run(twice(apns(server.url)))

    assert (first.kind, second.kind, server.connections) == (OutcomeKind.RETRY, OutcomeKind.ACCEPTED, 2)


# What comes when Apple does not


def test_a_refused_connection_is_an_unknown_outcome() -> None:
    [outcome] = send(apns("https://127.0.0.1:1"), [MESSAGE])

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)
    assert ADDRESS not in outcome.detail


def test_gives_up_at_the_deadline() -> None:
    with Http2Server(lambda _: Reply(after_s=30)) as server:
        [outcome] = send(apns(server.url, deadline_s=0.3), [MESSAGE])

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)


def test_outcomes_have_the_order_of_the_messages_over_goaways_of_a_strict_service() -> None:
    def odd_ones_are_refused(request: Received) -> Reply:
        odd = int(request.headers["apns-id"][-4:], 16) % 2
        return refusal(413, "PayloadTooLarge")(request) if odd else like_apple(request)

    messages = [replace(MESSAGE, message_id=f"0193a1b2-0000-7000-8000-{number:012x}") for number in range(1000)]

    with Http2Server(odd_ones_are_refused, strict=True, goaway_every=400) as server:
        outcomes = send(apns(server.url), messages)

    expected = [OutcomeKind.REJECTED if number % 2 else OutcomeKind.ACCEPTED for number in range(1000)]
    assert [outcome.kind for outcome in outcomes] == expected
    assert len(server.received) == 1000


# How it is set up


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    key_file = tmp_path / "AuthKey.p8"
    key_file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {
        "key_file": str(key_file),
        "key_id": "KEY1234567",
        "team_id": "TEAM123456",
        "topic": "org.homepot.agent",
        "ca_file": authority().ca_file,
    }


def test_is_built_from_settings(config: dict[str, Any]) -> None:
    with Http2Server(like_apple) as server:
        [outcome] = send(Apns.from_config({**config, "url": server.url + "/"}), [MESSAGE])

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert claims_of(token_of(server.received[0]))["iss"] == "TEAM123456"


@pytest.mark.parametrize("name", ["key_file", "key_id", "team_id", "topic"])
def test_names_the_setting_that_is_missing(config: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is missing"):
        Apns.from_config({**config, name: ""})


def rsa_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "words"), [(b"secret nonsense", "not an unencrypted .p8"), (rsa_key(), "not a P-256 key")]
)
def test_names_what_is_wrong_with_the_key_and_never_quotes_it(
    config: dict[str, Any], tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "bad.p8").write_bytes(content)

    with pytest.raises(ConfigError, match=words) as raised:
        Apns.from_config({**config, "key_file": str(tmp_path / "bad.p8")})

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["key_file", "ca_file"])
def test_names_a_file_that_is_not_there(config: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} .*nowhere"):
        Apns.from_config({**config, name: "/nowhere/file"})
