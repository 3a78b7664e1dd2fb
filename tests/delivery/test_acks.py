"""What a device may say, in which form, with which proof, and what it changes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from rest_framework.test import APIClient

from delivery import ack_tokens, clocks
from delivery.models import DeliveryAttempt, PushNotificationLog, Receipt
from delivery.models.push_log_rows import Sent
from tests.delivery.ack_entry import EntryClient
from tests.delivery.rows import a_device, claim, messages

pytestmark = pytest.mark.django_db(transaction=True)

Client = APIClient | EntryClient
ACK = "/api/v1/push/ack"
BATCH = "/api/v1/push/ack/batch"
TOKEN = uuid4()


@pytest.fixture(params=["view", "entry"])
def client(request: pytest.FixtureRequest) -> Client:
    """Both ways in: they answer alike."""
    return APIClient() if request.param == "view" else EntryClient()


@pytest.fixture
def message() -> PushNotificationLog:
    """Sent a second ago."""
    [row] = messages()
    claim(TOKEN)
    PushNotificationLog.objects.mark_sent([Sent(row.pk, clocks.db_now() - timedelta(seconds=1), "", "")], token=TOKEN)
    row.refresh_from_db()
    return row


def token_for(message: PushNotificationLog) -> str:
    return ack_tokens.sign(str(message.message_id), message.device_id, ["only-for-tests-" + "x" * 40])


def body(message: PushNotificationLog, **fields: Any) -> dict[str, Any]:
    return {"message_id": str(message.message_id), "device_id": message.device_id, **fields}


def key_headers(message: PushNotificationLog, key: str = "key") -> dict[str, Any]:
    return {"HTTP_X_DEVICE_ID": message.device_id, "HTTP_X_API_KEY": key}


def test_the_worker_in_the_field_acks_with_message_and_device_id_alone(
    client: Client, message: PushNotificationLog
) -> None:
    response = client.post(ACK, body(message, status="delivered", platform="web_push"))

    message.refresh_from_db()
    assert (response.status_code, response.json()) == (200, {"status": "acknowledged"})
    assert message.status == "delivered"


@pytest.mark.parametrize("spelling", ["{0}Z", "{0}+00:00", "{0}"])
def test_every_spelling_of_an_instant_is_the_same_instant(
    client: Client, message: PushNotificationLog, spelling: str
) -> None:
    assert message.sent_at is not None
    received_at = message.sent_at + timedelta(milliseconds=417)

    client.post(ACK, body(message, received_at=spelling.format(received_at.replace(tzinfo=None).isoformat())))

    message.refresh_from_db()
    assert (message.received_at, message.latency_ms) == (received_at, 417)


def test_a_replay_answers_alike_and_changes_nothing(client: Client, message: PushNotificationLog) -> None:
    client.post(ACK, body(message, received_at="2026-11-21T12:00:00Z"))
    before = PushNotificationLog.objects.filter(pk=message.pk).values().get()

    response = client.post(ACK, body(message, received_at="2026-11-21T13:00:00Z"))

    assert response.json() == {"status": "acknowledged"}
    assert PushNotificationLog.objects.filter(pk=message.pk).values().get() == before
    assert Receipt.objects.count() == 1


@pytest.mark.parametrize("message_id", ["no-such-id", "0192f0c0-0000-7000-8000-000000000000", "x" * 100])
def test_an_unknown_message_answers_alike_and_leaves_nothing(client: Client, message_id: str) -> None:
    response = client.post(ACK, {"message_id": message_id, "device_id": "till-9"})

    assert (response.status_code, response.json()) == (200, {"status": "acknowledged"})
    assert Receipt.objects.count() == 0


def test_a_foreign_message_answers_alike_and_stays_as_it_is(client: Client, message: PushNotificationLog) -> None:
    a_device("stranger")

    response = client.post(ACK, body(message, device_id="stranger"))

    message.refresh_from_db()
    assert (response.status_code, response.json()) == (200, {"status": "acknowledged"})
    assert (message.status, Receipt.objects.count()) == ("sent", 0)


def test_opened_and_clicked_imply_delivered_and_leave_a_receipt_each(
    client: Client, message: PushNotificationLog
) -> None:
    client.post(ACK, body(message, status="opened"))
    client.post(ACK, body(message, status="clicked"))
    client.post(ACK, body(message, status="clicked"))

    message.refresh_from_db()
    assert message.status == "delivered"
    assert None not in (message.opened_at, message.clicked_at)
    assert sorted(Receipt.objects.values_list("status", flat=True)) == ["clicked", "opened"]


def test_a_device_that_could_not_take_the_message_fails_it_in_its_own_words(
    client: Client, message: PushNotificationLog
) -> None:
    refusal = {"status": "failed", "error_code": "ENOSPC", "error_message": "disk full"}

    response = client.post(ACK, body(message, ack_token=token_for(message), **refusal))

    message.refresh_from_db()
    assert response.status_code == 200
    assert (message.status, message.error_code, message.error_message) == ("failed", "ENOSPC", "disk full")


def test_unknown_is_written_down_and_nothing_more(client: Client, message: PushNotificationLog) -> None:
    client.post(ACK, body(message, status="unknown"), **key_headers(message))

    message.refresh_from_db()
    assert (message.status, Receipt.objects.get().status) == ("sent", "unknown")


def test_a_late_ack_delivers_and_keeps_the_expiry(client: Client, message: PushNotificationLog) -> None:
    PushNotificationLog.objects.filter(pk=message.pk).update(expires_at=clocks.db_now() - timedelta(seconds=1))
    PushNotificationLog.objects.expire(clocks.db_now(), limit=10)

    client.post(ACK, body(message))

    message.refresh_from_db()
    assert (message.status, message.late) == ("delivered", True)


def test_the_token_from_the_message_needs_no_device_id(client: Client, message: PushNotificationLog) -> None:
    response = client.post(ACK, {"message_id": str(message.message_id), "ack_token": token_for(message)})

    message.refresh_from_db()
    assert (response.status_code, message.status) == (200, "delivered")


def test_the_device_key_needs_no_device_id(client: Client, message: PushNotificationLog) -> None:
    response = client.post(ACK, {"message_id": str(message.message_id)}, **key_headers(message))

    message.refresh_from_db()
    assert (response.status_code, message.status) == (200, "delivered")


@pytest.mark.parametrize(
    ("fields", "headers", "code"),
    [
        ({"ack_token": "till.wrong"}, {}, 401),
        ({"ack_token": "ä"}, {}, 401),
        ({}, {"HTTP_X_API_KEY": "wrong", "HTTP_X_DEVICE_ID": "till"}, 401),
        ({}, {"HTTP_X_API_KEY": "key"}, 401),
        ({"status": "failed"}, {}, 401),
        ({"status": "unknown"}, {}, 401),
        ({"status": "arrived"}, {}, 422),
        ({"device_id": None}, {}, 422),
        ({"device_id": "a/b"}, {}, 422),
        ({"message_id": None}, {}, 422),
        ({"message_id": 5}, {}, 422),
        ({"message_id": "x" * 101}, {}, 422),
        ({"received_at": "yesterday"}, {}, 422),
        ({"received_at": 1_700_000_000}, {}, 422),
        ({"error_message": 7}, {}, 422),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_wrong_form_and_wrong_proof_are_told_whether_the_message_exists_or_not(
    client: Client,
    message: PushNotificationLog,
    fields: dict[str, Any],
    headers: dict[str, Any],
    code: int,
    known: bool,
) -> None:
    sent = body(message) if known else {"message_id": str(uuid4()), "device_id": "till-9"}

    response = client.post(ACK, {**sent, **fields}, **headers)

    message.refresh_from_db()
    assert (response.status_code, message.status, Receipt.objects.count()) == (code, "sent", 0)
    assert response.json()["status_code"] == code


def test_a_body_that_names_another_device_than_the_key_is_forbidden(
    client: Client, message: PushNotificationLog
) -> None:
    response = client.post(ACK, body(message, device_id="somebody-else"), **key_headers(message))

    assert response.status_code == 403


def test_a_server_that_wants_tokens_refuses_the_bare_form(
    client: Client, message: PushNotificationLog, settings: LazySettings
) -> None:
    settings.ACK_REQUIRE_TOKEN = True

    assert client.post(ACK, body(message)).status_code == 401
    assert client.post(ACK, body(message, ack_token=token_for(message))).status_code == 200


def test_an_old_key_still_verifies_after_a_new_one_went_to_the_front(
    client: Client, message: PushNotificationLog, settings: LazySettings
) -> None:
    token = token_for(message)
    settings.ACK_KEYS = ["a new key", *settings.ACK_KEYS]

    assert client.post(ACK, body(message, ack_token=token)).status_code == 200


def test_a_batch_answers_each_item_and_one_bad_item_spoils_no_other(client: Client) -> None:
    first, second, third = messages(3)
    items: list[Any] = [
        body(first),
        body(second, ack_token="wrong"),
        {"message_id": 5},
        "what",
        body(third, status="opened"),
        body(third),
    ]

    response = client.post(BATCH, items)

    statuses = [result["status"] for result in response.json()["results"]]
    assert statuses == ["acknowledged", "rejected", "rejected", "rejected", "acknowledged", "acknowledged"]
    found = list(PushNotificationLog.objects.order_by("id").values_list("status", flat=True))
    assert found == ["delivered", "pending", "delivered"]
    assert Receipt.objects.count() == 3


@pytest.mark.parametrize("items", [[], {}, "x", [{"message_id": "a", "device_id": "b"}] * 101])
def test_a_batch_is_a_list_of_1_to_100(client: Client, items: Any) -> None:
    assert client.post(BATCH, items).status_code == 422


def test_a_hundred_acks_of_one_message_are_one_delivery(client: Client, message: PushNotificationLog) -> None:
    response = client.post(BATCH, [body(message)] * 100)

    assert len(response.json()["results"]) == 100
    assert Receipt.objects.count() == 1


def test_the_first_time_that_came_wins(client: Client, message: PushNotificationLog) -> None:
    first = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
    items = [body(message, received_at=first.isoformat()), body(message, received_at="2026-11-21T12:00:09Z")]

    client.post(BATCH, items)

    message.refresh_from_db()
    assert message.received_at == first


@pytest.mark.parametrize("before_the_ack", [True, False])
def test_what_an_unanswered_attempt_brought_is_counted_from_that_attempt(
    client: Client, message: PushNotificationLog, before_the_ack: bool
) -> None:
    """The provider did not answer the first attempt, and accepted the second; the device had the message by then."""
    now = clocks.db_now()
    first, received, second = (now - timedelta(seconds=seconds) for seconds in (30, 29.5, 5))
    DeliveryAttempt.objects.create(
        push=message, provider="simulation", started_at=first, took_ms=10_000, outcome="retry", code="no_answer"
    )
    held = PushNotificationLog.objects.filter(pk=message.pk)
    held.update(status="pending", claim_token=TOKEN, sent_at=None)
    write = [Sent(message.pk, second, "", "")]
    if before_the_ack:
        PushNotificationLog.objects.mark_sent(write, token=TOKEN)

    client.post(ACK, body(message, received_at=received.isoformat()))
    PushNotificationLog.objects.mark_sent(write, token=TOKEN)

    message.refresh_from_db()
    assert (message.status, message.sent_at, message.clock_skewed) == ("delivered", first, False)
    assert message.latency_ms == 500
