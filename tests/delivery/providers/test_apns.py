"""APNs: what each answer leads to, and what comes when there is none."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.providers.apns import OUTCOMES, Apns
from tests.delivery.providers.apple import (
    ADDRESS,
    MESSAGE,
    apns,
    like_apple,
    outcome_of,
    refusal,
    send,
)
from tests.delivery.providers.local_servers import Http2Server, Received, Reply

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


@pytest.mark.parametrize(("reason", "of_address"), [("TooManyRequests", True), ("ServiceUnavailable", False)])
def test_a_token_that_gets_too_much_says_nothing_of_apple(reason: str, of_address: bool) -> None:
    assert outcome_of(refusal(429, reason)).of_address is of_address


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
