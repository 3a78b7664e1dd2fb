"""FCM's access token: how it is got, shared, refreshed and replaced, and what a service account must have."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.providers.base import ConfigError
from delivery.providers.fcm import Fcm
from delivery.providers.fcm_token import ServiceAccount
from tests.delivery.providers.google import (
    ACCEPTED,
    KEY,
    MESSAGE,
    NOW,
    Answer,
    Google,
    account_file,
    fcm,
    google_error,
    send,
)
from tests.delivery.providers.local_servers import Received, Reply, authority


def test_signs_its_request_for_a_token_as_the_service_account(tmp_path: Path) -> None:
    with Google() as google:
        send(fcm(google, tmp_path), [MESSAGE])

    [request] = google.token_requests
    form = {name: value for name, [value] in parse_qs(request.body.decode()).items()}
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        form["assertion"], KEY.public_key(), algorithms=["RS256"], audience=f"{google.url}/token", options=options
    )
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "key-1"
    assert claims["iss"] == "push@homepot-test.iam.gserviceaccount.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
    assert (claims["iat"], claims["exp"]) == (int(NOW.timestamp()), int(NOW.timestamp()) + 3600)


def test_a_whole_batch_waits_for_one_token(tmp_path: Path) -> None:
    with Google() as google:
        outcomes = send(fcm(google, tmp_path), [MESSAGE] * 50, [MESSAGE])

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert (len(google.token_requests), len(google.messages)) == (1, 51)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def send_at(provider: Fcm, clock: Clock, *minutes: int) -> list[Outcome]:
    """One message at each of the minutes after the start."""

    async def one_by_one() -> list[Outcome]:
        outcomes = []
        for minute in minutes:
            clock.now = NOW + timedelta(minutes=minute)
            outcomes += await provider.send([MESSAGE])
        await provider.aclose()
        return outcomes

    return asyncio.run(one_by_one())


def test_refreshes_the_token_at_55_minutes(tmp_path: Path) -> None:
    clock = Clock()

    with Google() as google:
        send_at(fcm(google, tmp_path, clock=clock), clock, 0, 54, 55)

    bearers = [request.headers["authorization"] for request in google.messages]
    assert bearers == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def only_the_first_token(google: list[Google]) -> Answer:
    def answer(request: Received) -> Reply:
        return google[0]._next_token(request) if len(google[0].token_requests) == 1 else Reply(503)

    return answer


def test_uses_the_old_token_to_its_end_while_no_new_one_is_given(tmp_path: Path) -> None:
    clock, holder = Clock(), list[Google]()

    with Google(token=only_the_first_token(holder)) as google:
        holder.append(google)
        outcomes = send_at(fcm(google, tmp_path, clock=clock), clock, 0, 55, 56, 61)

    kinds = [outcome.kind for outcome in outcomes]
    assert kinds == [OutcomeKind.ACCEPTED, OutcomeKind.ACCEPTED, OutcomeKind.ACCEPTED, OutcomeKind.RETRY]


def only_with(bearer: str) -> Answer:
    def answer(request: Received) -> Reply:
        if request.headers["authorization"] == f"Bearer {bearer}":
            return ACCEPTED
        return google_error(401, "UNAUTHENTICATED")

    return answer


def test_a_refused_token_is_replaced_once_and_no_message_is_burnt(tmp_path: Path) -> None:
    with Google(only_with("token-2")) as google:
        outcomes = send(fcm(google, tmp_path), [MESSAGE] * 30)

    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len(google.token_requests) == 2


def test_a_token_that_stays_refused_is_our_configuration_and_asks_for_no_token_storm(tmp_path: Path) -> None:
    with Google(only_with("none")) as google:
        outcomes = send(fcm(google, tmp_path), [MESSAGE] * 30, [MESSAGE] * 30)

    assert {(outcome.kind, outcome.code) for outcome in outcomes} == {(OutcomeKind.MISCONFIGURED, "UNAUTHENTICATED")}
    assert len(google.token_requests) == 2


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (Reply(400, b'{"error":"invalid_grant"}'), OutcomeKind.MISCONFIGURED, "token_invalid_grant"),
        (Reply(401, b'{"error":"invalid_client"}'), OutcomeKind.MISCONFIGURED, "token_invalid_client"),
        (Reply(403, b"<html>"), OutcomeKind.MISCONFIGURED, "token_403"),
        (Reply(404, b""), OutcomeKind.MISCONFIGURED, "token_404"),
        (Reply(429, b""), OutcomeKind.RETRY, "token_http_429"),
        (Reply(503, b""), OutcomeKind.RETRY, "token_http_503"),
        (Reply(200, b"<html>"), OutcomeKind.RETRY, "token_http_200"),
        (Reply(200, b'{"access_token":"a\\r\\nX: y"}'), OutcomeKind.RETRY, "token_http_200"),
        (Reply(200, b" " * 300_000), OutcomeKind.RETRY, "token_http_200"),
    ],
)
def test_without_a_token_nothing_is_sent(tmp_path: Path, reply: Reply, kind: OutcomeKind, code: str) -> None:
    with Google(token=lambda _: reply) as google:
        [outcome] = send(fcm(google, tmp_path), [MESSAGE])

    assert (outcome.kind, outcome.code, google.messages) == (kind, code, [])


def test_a_token_endpoint_that_cannot_be_reached_is_an_unknown_outcome(tmp_path: Path) -> None:
    account = ServiceAccount.from_file(account_file(tmp_path, None))

    [outcome] = send(Fcm(account, project_id="homepot-test", ca_file=authority().ca_file), [MESSAGE])

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)
    assert "access token" in outcome.detail


# The service account


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "authorized_user"}, "not a service account's key"),
        ({"client_email": ""}, "lacks client_email"),
        ({"private_key": "", "token_uri": ""}, "lacks private_key, token_uri"),
        ({"private_key": "secret nonsense"}, "private_key .* is not a PEM key"),
        ({"project_id": ""}, "project_id is missing or malformed"),
        ({"project_id": "../x"}, "project_id is missing or malformed"),
    ],
)
def test_names_what_is_wrong_with_the_file_and_never_quotes_it(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        Fcm.from_config({"service_account_file": account_file(tmp_path, None, **changes)})

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "service_account_file is missing"), ("nowhere.json", "cannot be read"), ("text.json", "is not JSON")],
)
def test_names_a_file_that_cannot_be_used(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.json").write_text("not json")

    with pytest.raises(ConfigError, match=words):
        Fcm.from_config({"service_account_file": str(tmp_path / name) if name else ""})


def test_names_a_ca_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca_file .*nowhere"):
        Fcm.from_config({"service_account_file": account_file(tmp_path, None), "ca_file": "/nowhere/ca"})


def test_shows_no_secret_when_printed(tmp_path: Path) -> None:
    account = ServiceAccount.from_file(account_file(tmp_path, None))

    assert "PRIVATE" not in repr(account)
    assert "Signer" not in repr(account)
