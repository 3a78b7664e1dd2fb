from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from delivery.models import TelemetryLog
from tests.delivery.api.conftest import device_client

URL = "/api/v1/agent/telemetry"
FLUSH = "/api/v1/telemetry/flush"
METRICS = {
    "device_id": "till-1",
    "cpu_usage": 12.5,
    "memory_usage": 0,
    "disk_usage": 100,
    "network_latency_ms": 20,
    "timestamp": "2026-11-21T12:00:00Z",
}
LINE = {"type": "error", "message": "printer jammed", "meta": {"tray": 2}, "timestamp": "2026-11-21T12:00:00+01:00"}


@pytest.mark.parametrize(("body", "count"), [(METRICS, 1), ([METRICS], 1), ([METRICS] * 200, 200)])
def test_saves_one_measurement_or_a_list(as_device: APIClient, body: Any, count: int) -> None:
    response = as_device.post(URL, body)

    assert response.status_code == 200
    assert response.json()["status"] == "success"
    assert response.json()["data"] == {"device_id": "till-1", "saved_count": count}
    rows = TelemetryLog.objects.all()
    assert len(rows) == count
    assert len({row.batch_id for row in rows}) == 1
    assert rows[0].meta == {"cpu_usage": 12.5, "memory_usage": 0, "disk_usage": 100, "network_latency_ms": 20}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({**METRICS, "cpu_usage": 100.1}, 422),
        ({**METRICS, "disk_usage": -1}, 422),
        ({**METRICS, "memory_usage": True}, 422),
        ({**METRICS, "memory_usage": "NaN"}, 422),
        ({**METRICS, "memory_usage": None}, 422),
        ({**METRICS, "uptime_seconds": "long"}, 422),
        ([METRICS, {"device_id": "till-1"}], 422),
        ([METRICS, {**METRICS, "device_id": "till-2"}], 403),
        ([1, None, "a"], 422),
        ("text", 422),
    ],
)
def test_saves_nothing_of_a_bad_batch(as_device: APIClient, body: Any, status: int) -> None:
    response = as_device.post(URL, body)

    assert response.status_code == status
    assert response.json().keys() == {"detail", "status_code"}
    assert not TelemetryLog.objects.exists()


def test_flushes_a_buffer_as_one_batch(as_device: APIClient) -> None:
    response = as_device.post(FLUSH, [LINE, {"type": "note"}])

    assert response.status_code == 200
    assert response.json().keys() == {"batch_id", "saved_count"}
    assert response.json()["saved_count"] == 2
    rows = TelemetryLog.objects.filter(batch_id=response.json()["batch_id"])
    assert {row.type for row in rows} == {"error", "note"}
    assert all(row.processed_at is not None and row.device is not None for row in rows)


def test_a_person_may_flush_too(as_customer: APIClient) -> None:
    response = as_customer.post(FLUSH, [LINE])

    assert response.status_code == 200
    assert TelemetryLog.objects.get().device is None


def test_the_same_batch_again_is_stored_once(as_device: APIClient) -> None:
    answers = [as_device.post(FLUSH, [LINE] * 3, headers={"Idempotency-Key": "b-1"}).json() for _ in range(2)]

    assert answers == [{"batch_id": "b-1", "saved_count": 3}] * 2
    assert TelemetryLog.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_the_same_batch_at_once_is_stored_once(
    as_device: APIClient, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    def send() -> Any:
        client = device_client("till-1", "key-of-till-1")
        return client.post(FLUSH, [LINE] * 3, headers={"Idempotency-Key": "b-1"}).json()

    answers = run_at_once(4, send)

    assert answers == [{"batch_id": "b-1", "saved_count": 3}] * 4
    assert TelemetryLog.objects.count() == 3
