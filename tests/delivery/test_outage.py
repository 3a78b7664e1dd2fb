"""A database that takes no writes: whoever wants to write is told to come back, and reading goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import DatabaseError, OperationalError, connection
from django.test import Client
from rest_framework.test import APIClient

from delivery import outage, sending, sweeps
from delivery.models import ApiKey, PushNotificationLog
from tests.delivery.rows import a_channel, a_device, a_site, claim, messages

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a-long-enough-password"
ADMIN_LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def fresh(broker: object) -> None:
    caches["default"].clear()
    caches["local"].clear()


@contextmanager
def taking_no_writes() -> Iterator[None]:
    """As with `default_transaction_read_only`, or a file that may not be written."""
    on_postgres = connection.vendor == "postgresql"
    set_to = "SET default_transaction_read_only = {}" if on_postgres else "PRAGMA query_only = {}"
    with connection.cursor() as cursor:
        cursor.execute(set_to.format("on"))
        try:
            yield
        finally:
            cursor.execute(set_to.format("off"))


@pytest.fixture
def backend() -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.objects.issue('till-office', ['jobs:write', 'jobs:read'])}")
    return client


def said(row: PushNotificationLog) -> dict[str, str]:
    return {"message_id": str(row.message_id), "device_id": row.device_id}


@pytest.mark.parametrize(
    ("path", "many"), [("/api/v1/push/ack", False), ("/api/v1/push/ack/batch", True), ("/api/v1/push/ack/batch", False)]
)
def test_acks_are_503_until_they_can_be_committed(path: str, many: bool) -> None:
    rows = messages(3)
    bodies = [said(row) for row in rows] if many or not path.endswith("batch") else [said(rows[0])]
    body: Any = bodies if path.endswith("batch") else bodies[0]

    with taking_no_writes():
        refused = APIClient().post(path, body)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json()["status_code"] == 503
    assert APIClient().post(path, body).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs", {"name": "A job", "target": {"all": True}, "push_notification": {"title": "Hello"}}),
        ("/push/send", {"device_id": "till-1", "title": "Hello", "body": "World"}),
        ("/devices/till-1/key", {}),
    ],
)
def test_what_a_backend_writes_is_503_and_what_it_reads_is_answered(
    backend: APIClient, path: str, body: dict[str, Any]
) -> None:
    a_channel(a_device(site=a_site()))
    key = ApiKey.objects.issue("all", ["jobs:write", "jobs:read", "devices:read", "devices:write"])
    backend.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")

    with taking_no_writes():
        refused = backend.post(f"/api/v1{path}", body)
        read = backend.get("/api/v1/jobs")

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert read.status_code == 200


def test_a_device_reads_what_was_handed_out_to_it() -> None:
    [row] = messages()
    device = APIClient()
    device.credentials(HTTP_X_DEVICE_ID=row.device_id, HTTP_X_API_KEY="key")
    assert len(device.get("/api/v1/push/pending").json()["pushes"]) == 1

    with taking_no_writes():
        again = device.get("/api/v1/push/pending")

    assert (again.status_code, len(again.json()["pushes"])) == (200, 1)


def test_admin_pages_can_be_read_and_nobody_can_sign_in() -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    signed_in, stranger = Client(), Client(raise_request_exception=False)
    signed_in.post(ADMIN_LOGIN, {"username": "ada", "password": PASSWORD})

    with taking_no_writes():
        page = signed_in.get("/admin/delivery/job/")
        refused = stranger.post(ADMIN_LOGIN, {"username": "ada", "password": PASSWORD})

    assert page.status_code == 200
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")


@pytest.mark.sqlite_only
def test_a_full_disk_is_503_until_there_is_room(backend: APIClient) -> None:
    bodies = [said(row) for row in messages(100)]
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # else there are free pages left from earlier tests
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")

    try:
        refused = APIClient().post("/api/v1/push/ack/batch", bodies)
        read = backend.get("/api/v1/jobs")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1073741823")

    assert (refused.status_code, refused.headers["Retry-After"], read.status_code) == (503, "5", 200)
    assert APIClient().post("/api/v1/push/ack/batch", bodies).status_code == 200


def test_nothing_is_sent_without_a_committed_claim() -> None:
    [row] = messages()

    with taking_no_writes(), pytest.raises(DatabaseError) as raised:
        sending.send_batch("simulation")

    assert outage.is_outage(raised.value)
    row.refresh_from_db()
    assert (row.status, row.attempt_count) == ("pending", 0)
    assert sending.send_batch("simulation") == 1


@pytest.mark.parametrize("sweep", [sweeps.expire, sweeps.release_lost])
def test_a_sweep_that_cannot_write_leaves_all_as_it_is(sweep: Any) -> None:
    messages(ttl_s=1, age_s=300)
    messages(age_s=300)
    claim(uuid4(), at_s=-120)

    with taking_no_writes(), pytest.raises(DatabaseError) as raised:
        sweep()

    assert outage.is_outage(raised.value)
    assert sweep() > 0


@pytest.mark.parametrize(
    ("error", "worth_another_try"),
    [(OperationalError("gone"), True), (DatabaseError("?"), False), (RuntimeError("?"), False)],
)
def test_only_an_outage_is_worth_another_try(error: Exception, worth_another_try: bool) -> None:
    assert outage.is_outage(error) is worth_another_try
