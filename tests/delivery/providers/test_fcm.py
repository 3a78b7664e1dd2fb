"""FCM: what each answer leads to, and what comes when there is none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from delivery.outcomes import NO_ANSWER, Outcome, OutcomeKind
from delivery.providers.base import Message
from delivery.providers.fcm import OUTCOMES, Fcm
from delivery.providers.fcm_message import body, limited_text
from tests.delivery.providers.google import (
    ACCEPTED,
    MESSAGE,
    Google,
    account_file,
    bad_request,
    fcm,
    fcm_error,
    google_error,
    quota_failure,
    send,
)
from tests.delivery.providers.local_servers import Received, Reply, authority


def test_posts_the_message_to_the_project_with_a_bearer_token(tmp_path: Path) -> None:
    with Google() as google:
        [outcome] = send(fcm(google, tmp_path), [MESSAGE])

    [request] = google.messages
    assert request.path == "/v1/projects/homepot-test/messages:send"
    assert request.headers["authorization"] == "Bearer token-1"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == body(MESSAGE)
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert outcome.provider_message_id == "projects/homepot-test/messages/0:1%2"


def test_is_built_from_settings(tmp_path: Path) -> None:
    with Google() as google:
        config = {
            "service_account_file": account_file(tmp_path, google),
            "project_id": "another-project",
            "url": google.url + "/",
            "ca_file": authority().ca_file,
        }
        [outcome] = send(Fcm.from_config(config), [MESSAGE])

    assert outcome.kind is OutcomeKind.ACCEPTED
    assert google.messages[0].path == "/v1/projects/another-project/messages:send"


# What each answer leads to


def outcome_of(tmp_path: Path, reply: Reply) -> Outcome:
    with Google(lambda _: reply) as google:
        [outcome] = send(fcm(google, tmp_path), [MESSAGE])
    return outcome


ANSWERS = [
    (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", OutcomeKind.REJECTED),
    (404, "NOT_FOUND", "UNREGISTERED", OutcomeKind.ADDRESS_GONE),
    (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", OutcomeKind.REJECTED),
    (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", OutcomeKind.THROTTLED),
    (503, "UNAVAILABLE", "UNAVAILABLE", OutcomeKind.RETRY),
    (500, "INTERNAL", "INTERNAL", OutcomeKind.RETRY),
    (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", OutcomeKind.REJECTED),
    (500, "UNKNOWN", "UNSPECIFIED_ERROR", OutcomeKind.RETRY),
    (401, "UNAUTHENTICATED", "", OutcomeKind.MISCONFIGURED),
    (403, "PERMISSION_DENIED", "", OutcomeKind.MISCONFIGURED),
    (404, "NOT_FOUND", "", OutcomeKind.MISCONFIGURED),
    (429, "RESOURCE_EXHAUSTED", "", OutcomeKind.THROTTLED),
    (409, "ABORTED", "", OutcomeKind.RETRY),
    (499, "CANCELLED", "", OutcomeKind.RETRY),
    (504, "DEADLINE_EXCEEDED", "", OutcomeKind.RETRY),
    (500, "UNKNOWN", "", OutcomeKind.RETRY),
]


@pytest.mark.parametrize(
    ("status", "canonical", "own", "kind"), ANSWERS, ids=[own or canonical for _, canonical, own, _ in ANSWERS]
)
def test_a_documented_code_leads_to(tmp_path: Path, status: int, canonical: str, own: str, kind: OutcomeKind) -> None:
    outcome = outcome_of(tmp_path, google_error(status, canonical, *([fcm_error(own)] if own else [])))

    assert (outcome.kind, outcome.code) == (kind, own or canonical)


def test_the_table_above_has_every_code_of_the_module() -> None:
    assert {own or canonical for _, canonical, own, _ in ANSWERS} == OUTCOMES.keys() - {"unreadable_answer"}


@pytest.mark.parametrize("code", ["SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"])
def test_what_one_address_may_be_to_blame_for_is_ours_after_20_in_a_row(tmp_path: Path, code: str) -> None:
    replies = iter([google_error(403, "", fcm_error(code))] * 25 + [ACCEPTED, google_error(403, "", fcm_error(code))])

    with Google(lambda _: next(replies)) as google:
        outcomes = send(fcm(google, tmp_path), *([MESSAGE] for _ in range(27)))

    kinds = [outcome.kind for outcome in outcomes]
    assert kinds[:20] == [OutcomeKind.REJECTED] * 20
    assert kinds[20:25] == [OutcomeKind.MISCONFIGURED] * 5
    assert kinds[25:] == [OutcomeKind.ACCEPTED, OutcomeKind.REJECTED]


def test_refuses_what_is_too_large_without_a_connection(tmp_path: Path) -> None:
    with Google() as google:
        [fits, refused] = send(fcm(google, tmp_path), [sized(4096), sized(4097)])

    assert (fits.kind, refused.kind, refused.code) == (OutcomeKind.ACCEPTED, OutcomeKind.REJECTED, "payload_too_large")
    assert len(google.messages) == 1


def sized(size_bytes: int) -> Message:
    """A message of which FCM's limit counts exactly so many bytes."""
    empty = len(limited_text(body(replace(MESSAGE, content={"data": {"x": ""}}))))
    return replace(MESSAGE, content={"data": {"x": "y" * (size_bytes - empty)}})


@pytest.mark.parametrize("address", ["", "a b", "a\r\nb", "x" * 4097, "\ud800"])
def test_sends_nothing_to_what_is_no_token(tmp_path: Path, address: str) -> None:
    with Google() as google:
        provider = fcm(google, tmp_path)
        [outcome] = send(provider, [replace(MESSAGE, address=address)])

    assert (outcome.kind, outcome.code, google.messages) == (OutcomeKind.REJECTED, "malformed_address", [])
    with pytest.raises(ValueError, match="registration token"):
        provider.check_address(address)


INVALID = fcm_error("INVALID_ARGUMENT")
NOT_A_TOKEN = "The registration token is not a valid FCM registration token"


@pytest.mark.parametrize(
    ("details", "message", "kind"),
    [
        ([INVALID], NOT_A_TOKEN, OutcomeKind.ADDRESS_GONE),
        ([INVALID, bad_request("message.token")], "Request contains an invalid argument.", OutcomeKind.ADDRESS_GONE),
        ([INVALID], "Android message is too big", OutcomeKind.REJECTED),
        ([INVALID], "Invalid data payload key: from", OutcomeKind.REJECTED),
        ([INVALID], "Request contains an invalid argument.", OutcomeKind.REJECTED),
        ([], NOT_A_TOKEN, OutcomeKind.REJECTED),
        ([bad_request("message.data[0].value")], "Invalid value", OutcomeKind.REJECTED),
        ([INVALID, bad_request("message.android.ttl")], NOT_A_TOKEN, OutcomeKind.REJECTED),
        ([INVALID, bad_request("message.token", "message.data")], "Invalid", OutcomeKind.REJECTED),
    ],
)
def test_an_invalid_argument_costs_an_address_only_where_it_is_about_the_token(
    tmp_path: Path, details: list[dict[str, Any]], message: str, kind: OutcomeKind
) -> None:
    outcome = outcome_of(tmp_path, google_error(400, "INVALID_ARGUMENT", *details, message=message))

    assert (outcome.kind, outcome.code) == (kind, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("subjects", "kind"),
    [
        (["project:homepot-test"], OutcomeKind.THROTTLED),
        (["device:fGz1"], OutcomeKind.RETRY),
        (["device:fGz1", "project:homepot-test"], OutcomeKind.THROTTLED),
        ([], OutcomeKind.THROTTLED),
    ],
)
def test_the_quota_of_one_device_throttles_nobody_else(tmp_path: Path, subjects: list[str], kind: OutcomeKind) -> None:
    details = [fcm_error("QUOTA_EXCEEDED"), quota_failure(*subjects)]

    outcome = outcome_of(tmp_path, google_error(429, "RESOURCE_EXHAUSTED", *details))

    assert (outcome.kind, outcome.of_address) == (kind, kind is OutcomeKind.RETRY)


@pytest.mark.parametrize(
    ("status", "retry_after", "wait_s"),
    [
        (503, None, 10),
        (503, "3", 10),
        (503, "30", 30),
        (503, "Sat, 21 Nov 2026 12:32:00 GMT", 120),
        (500, "soon", 10),
        (429, None, 60),
        (429, "5", 60),
        (429, "90", 90),
        (429, "1000000000", 3600),
        (403, None, 0),
    ],
)
def test_waits_as_long_as_google_asks_for_and_at_least_its_minimum(
    tmp_path: Path, status: int, retry_after: str | None, wait_s: float
) -> None:
    headers = {"retry-after": retry_after} if retry_after else {}

    assert outcome_of(tmp_path, Reply(status, b"{}", headers)).floor_s == wait_s


def test_its_minimum_is_no_wish_of_google(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, Reply(503, b"{}", {})).retry_after_s is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, OutcomeKind.MISCONFIGURED),
        (400, OutcomeKind.REJECTED),
        (403, OutcomeKind.MISCONFIGURED),
        (404, OutcomeKind.MISCONFIGURED),
        (413, OutcomeKind.REJECTED),
        (429, OutcomeKind.THROTTLED),
        (500, OutcomeKind.RETRY),
        (502, OutcomeKind.RETRY),
    ],
)
@pytest.mark.parametrize(
    "content",
    [b'{"error":{"status":"BRAND_NEW"}}', b"<html>Error 502</html>", b"", b'{"error":[]}', b"[" * 20_000],
    ids=["new", "html", "nothing", "shape", "nested"],
)
def test_an_unknown_answer_counts_by_its_status_and_disables_nothing(
    tmp_path: Path, status: int, content: bytes, kind: OutcomeKind
) -> None:
    outcome = outcome_of(tmp_path, Reply(status, content))

    assert (outcome.kind, outcome.code) == (kind, "BRAND_NEW" if b"NEW" in content else f"http_{status}")


@pytest.mark.parametrize(
    "content", [b"", b"<html>welcome</html>", b"{}", b'{"name":7}', b" " * 300_000, b"\x1f\x8b\x08"]
)
def test_a_200_that_is_not_fcms_is_an_unknown_outcome(tmp_path: Path, content: bytes) -> None:
    outcome = outcome_of(tmp_path, Reply(body=content))

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, "unreadable_answer")


def test_the_detail_quotes_nothing_of_the_answer(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, google_error(403, "PERMISSION_DENIED", message=f"not for {MESSAGE.address}"))

    assert "API" in outcome.detail
    assert MESSAGE.address not in repr(outcome)


# What comes when FCM does not


def test_a_refused_connection_is_an_unknown_outcome(tmp_path: Path) -> None:
    with Google() as google:
        [outcome] = send(fcm(google, tmp_path, url="https://127.0.0.1:1"), [MESSAGE])

    assert (outcome.kind, outcome.code) == (OutcomeKind.RETRY, NO_ANSWER)


def test_gives_up_at_the_deadline_token_and_second_try_included(tmp_path: Path) -> None:
    slow_refusal = replace(google_error(401, "UNAUTHENTICATED"), after_s=0.3)

    with Google(lambda _: slow_refusal) as google:
        [outcome] = send(fcm(google, tmp_path, deadline_s=0.5), [MESSAGE])

    assert (outcome.kind, outcome.code, len(google.messages)) == (OutcomeKind.RETRY, NO_ANSWER, 2)


def test_outcomes_have_the_order_of_the_messages(tmp_path: Path) -> None:
    def odd_ones_are_gone(request: Received) -> Reply:
        odd = int(json.loads(request.body)["message"]["token"]) % 2
        gone = google_error(404, "NOT_FOUND", fcm_error("UNREGISTERED"))
        return gone if odd else replace(ACCEPTED, after_s=0.01)

    with Google(odd_ones_are_gone) as google:
        outcomes = send(fcm(google, tmp_path), [replace(MESSAGE, address=str(number)) for number in range(200)])

    expected = [OutcomeKind.ADDRESS_GONE if number % 2 else OutcomeKind.ACCEPTED for number in range(200)]
    assert [outcome.kind for outcome in outcomes] == expected
