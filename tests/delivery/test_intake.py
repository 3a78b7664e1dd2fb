"""When orders are refused because what was ordered before cannot be sent in time, and for whom."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from delivery import clocks, sweeps
from delivery.models import ApiKey, Device, Job, ProviderState, PushNotificationLog
from delivery.models.provider_state import Breaker
from delivery.priority import Priority
from tests.delivery.rows import a_channel, a_device, a_site, claim, messages

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_S = 120.0
LATE_S = LIMIT_S + 60


@pytest.fixture(autouse=True)
def fresh(broker: object, settings: LazySettings) -> None:
    for cache in caches.all():
        cache.clear()
    settings.INTAKE_LIMIT_S = LIMIT_S


@pytest.fixture
def backend() -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.objects.issue('till-office', ['jobs:write', 'jobs:read'])}")
    return client


@pytest.fixture
def till() -> Device:
    device = a_device(site=a_site())
    a_channel(device)
    return device


def order(client: APIClient, device_id: str = "till-1", priority: str = "normal", **headers: str) -> Any:
    push = {"title": "Hello", "priority": priority}
    body = {"name": "A job", "target": {"devices": [device_id]}, "push_notification": push}
    return client.post("/api/v1/jobs", body, **headers)  # type: ignore[arg-type]


def test_an_order_is_taken_while_nothing_waits_for_too_long(backend: APIClient, till: Device) -> None:
    messages(age_s=LIMIT_S - 30)

    assert order(backend).status_code == 202


def test_an_order_is_refused_while_what_goes_before_it_is_late(backend: APIClient, till: Device) -> None:
    messages(age_s=LATE_S)

    answer = order(backend)

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["status_code"] == 429
    assert "simulation" in answer.json()["detail"]
    assert Job.objects.filter(name="A job").count() == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs", {"name": "A job", "target": {"all": True}, "push_notification": {"title": "Hello"}}),
        ("/sites/site-1/jobs", {"action": "Update"}),
        ("/push/send", {"device_id": "till-1", "title": "Hello", "body": "World"}),
        ("/push/send", {"platform": "simulation", "device_token": "simulation-till-1", "title": "Hello", "body": "W"}),
        (
            "/push/send-bulk",
            {"platform": "simulation", "device_tokens": ["simulation-till-1"], "title": "Hello", "body": "World"},
        ),
        ("/agents/till-1/push", {"title": "Hello"}),
    ],
)
def test_every_kind_of_order_is_refused(backend: APIClient, till: Device, path: str, body: dict[str, Any]) -> None:
    messages(age_s=LATE_S, priority=Priority.CRITICAL)

    answer = backend.post(f"/api/v1{path}", body)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "15")


@pytest.mark.parametrize(
    ("waiting", "asked", "status"),
    [
        (Priority.LOW, "critical", 202),
        (Priority.LOW, "normal", 202),
        (Priority.LOW, "low", 429),
        (Priority.CRITICAL, "low", 429),
        (Priority.CRITICAL, "critical", 429),
    ],
)
def test_only_what_goes_before_an_order_counts(
    backend: APIClient, till: Device, waiting: Priority, asked: str, status: int
) -> None:
    messages(age_s=LATE_S, priority=waiting)

    assert order(backend, priority=asked).status_code == status


def test_an_overloaded_provider_refuses_none_but_its_own(backend: APIClient, till: Device) -> None:
    a_channel(a_device("till-2", site=a_site()), "mqtt")
    messages(age_s=LATE_S)

    assert order(backend, "till-1").status_code == 429
    assert order(backend, "till-2").status_code == 202


@pytest.mark.parametrize(
    "state",
    [
        {"state": Breaker.OPEN},
        {"state": Breaker.HALF_OPEN},
        {"rate_per_s": 5.0},
    ],
)
def test_what_waits_behind_a_closed_or_slow_gate_does_not_count(
    backend: APIClient, till: Device, state: dict[str, Any]
) -> None:
    ProviderState.objects.create(provider="simulation", until=clocks.db_now() + timedelta(seconds=60), **state)
    messages(age_s=LATE_S)

    assert order(backend).status_code == 202


def test_what_a_provider_in_recovery_has_to_catch_up_with_does_not_count(backend: APIClient, till: Device) -> None:
    ProviderState.objects.create(provider="simulation", recovering_since=clocks.db_now() - timedelta(seconds=10))
    messages(age_s=LATE_S)

    assert order(backend).status_code == 202


def test_a_credential_with_a_limit_of_its_own_does_not_count(
    backend: APIClient, till: Device, settings: LazySettings
) -> None:
    settings.PROVIDERS = {"simulation": {"default": {**settings.PROVIDERS["simulation"]["default"], "rate_per_s": 5}}}
    messages(age_s=LATE_S)

    assert order(backend).status_code == 202


def test_what_a_worker_holds_or_has_expired_does_not_count(backend: APIClient, till: Device) -> None:
    messages(age_s=LATE_S)
    claim(uuid4())
    messages(age_s=LATE_S, ttl_s=int(LIMIT_S))

    assert order(backend).status_code == 202


def test_the_same_order_again_is_answered_as_before(backend: APIClient, till: Device) -> None:
    first = order(backend, HTTP_IDEMPOTENCY_KEY="order-1")
    caches["local"].clear()
    messages(age_s=LATE_S)

    again = order(backend, HTTP_IDEMPOTENCY_KEY="order-1")

    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    assert order(backend, HTTP_IDEMPOTENCY_KEY="order-2").status_code == 429


def test_orders_are_taken_again_once_the_backlog_has_gone(backend: APIClient, till: Device) -> None:
    messages(age_s=LATE_S, ttl_s=int(LATE_S) + 1)
    assert order(backend).status_code == 429

    PushNotificationLog.objects.update(expires_at=clocks.db_now())
    sweeps.expire()
    caches["local"].clear()

    assert order(backend).status_code == 202


def test_one_look_at_the_rows_serves_the_orders_of_a_second(backend: APIClient, till: Device) -> None:
    order(backend)

    with CaptureQueriesContext(connection) as asked:
        order(backend)

    assert [query for query in asked if "claim_alone" in (query["sql"] or "")] == []


@pytest.mark.postgres_only
def test_a_look_reads_one_index_entry_per_credential_and_priority() -> None:
    messages(300, age_s=LATE_S)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE push_notification_logs")
    with CaptureQueriesContext(connection) as asked:
        PushNotificationLog.objects.oldest_due(clocks.db_now(), {("simulation", "default"), ("mqtt", "default")})

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked[-1]['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Index Scan using push_log_due_idx" in plan
    assert "Seq Scan" not in plan
