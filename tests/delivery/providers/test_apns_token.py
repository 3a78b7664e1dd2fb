"""The provider token of APNs: whose it is, how long it lives, and what a credential must have."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from delivery.outcomes import OutcomeKind
from delivery.providers.apns import Apns
from delivery.providers.base import ConfigError
from tests.delivery.providers import apple
from tests.delivery.providers.apple import (
    KEY,
    MESSAGE,
    NOW,
    apns,
    like_apple,
    refusal,
    send,
    sent,
)
from tests.delivery.providers.local_servers import Http2Server, Received, Reply


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


# What a credential must have


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return apple.config(tmp_path)


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
