"""Whatever comes, the answer is a clear 4xx in one shape, and never a 500."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from delivery import clocks
from delivery.models import Device, DeviceCommand, DeviceJob, Job
from tests.delivery.api.routes import v1_routes
from tests.delivery.rows import a_job

DAY = timedelta(days=1)

CALLS = [
    ("post", "/api/v1/auth/token"),
    ("post", "/api/v1/devices/bootstrap-provision"),
    ("post", "/api/v1/agent/device-dna"),
    ("post", "/api/v1/agent/heartbeat"),
    ("post", "/api/v1/agent/telemetry"),
    ("post", "/api/v1/telemetry/flush"),
    ("put", "/api/v1/devices/till-1/channels/fcm"),
    ("put", "/api/v1/devices/till-1/channels/web_push"),
    ("post", "/api/v1/push/subscribe"),
    ("post", "/api/v1/messenger/devices/register"),
    ("post", "/api/v1/push/ack"),
    ("post", "/api/v1/push/ack/batch"),
    ("post", "/api/v1/jobs"),
    ("post", "/api/v1/push/send"),
    ("post", "/api/v1/push/send-bulk"),
    ("post", "/api/v1/sites/berlin-1/jobs"),
    ("post", "/api/v1/agents/till-1/push"),
    ("post", "/api/v1/agent/logs"),
    ("post", "/api/v1/agent/audit"),
    ("post", "/api/v1/agent/alert"),
    ("post", "/api/v1/agent/config-history"),
    ("post", "/api/v1/agent/jobs"),
    ("put", "/api/v1/agent/jobs/job-1"),
    ("patch", "/api/v1/devices/device/till-1/permissions"),
    ("post", "/api/v1/devices/till-1/commands"),
    ("post", "/api/v1/devices/till-1/commands/cmd-1/ack"),
    ("put", "/api/v1/devices/cmd-1/status"),
    ("post", "/api/v1/devices/cmd-1/status"),
    ("post", "/api/v1/jobs/job-1/pause"),
    ("post", "/api/v1/jobs/job-1/resume"),
    ("post", "/api/v1/jobs/job-1/cancel"),
    ("post", "/api/v1/jobs/job-1/retry-failed"),
]
FIELDS = (
    "address", "api_key", "body", "bootstrap_key", "capabilities", "config_url", "cpu_usage", "data", "device_id",
    "device_info", "device_name", "device_token", "device_tokens", "device_type", "disk_usage", "environment",
    "memory_usage", "message", "message_id", "meta", "name", "os_details", "password", "peripherals", "platform",
    "priority", "proof", "provider", "push_notification", "rank", "received_at", "site_id", "status", "target",
    "timestamp", "title", "ttl", "type", "user_id", "action", "category", "change_reason", "command_type", "context",
    "description", "error_message", "event_type", "executed_at", "level", "metadata", "new_value", "parameter_name",
    "payload", "performance_before", "permissions", "result", "rolled_back_at", "severity", "success",
)  # fmt: skip
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a big number": 2**63 - 1,
    "a small fraction": 5e-324,
    "an empty text": "",
    "a long text": "x" * 30_000,
    "right to left": "\u202e😀\u2028",
    "line breaks": "a\r\nX-Evil: b",
    "a list": [[], {}, None],
    "an object": {"a": {"b": [1]}, "": None},
    "NaN as text": "NaN",
    "a year that ends time": "9999-12-31T23:59:59-23:59",
}
WHOLE: list[Any] = [None, True, 0, "text", [], [None], [[]], {}, [{}], {"": ""}]


@pytest.fixture
def named(device: Device, technician: User) -> None:
    """The objects that the addresses above name: where there are none, nothing is read of the body."""
    now = clocks.db_now()
    a_job(job_id="job-1", now=now, last_device=0)
    Job.objects.update(ordered_by="person:tina")
    DeviceJob.objects.create(job_id="job-1", device=device, action="a", timestamp=now, created_at=now)
    DeviceCommand.objects.create(
        command_id="cmd-1", device=device, command_type="ping", queued_by="x", created_at=now, expires_at=now + DAY
    )


@pytest.fixture(params=["anybody", "as_device", "as_technician", "as_backend"])
def client(request: pytest.FixtureRequest, device: Device, named: None) -> APIClient:
    found: APIClient = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(("method", "url"), CALLS)
def test_every_call_refuses_every_bad_field_in_one_shape(client: APIClient, method: str, url: str) -> None:
    for value in VALUES.values():
        response = getattr(client, method)(url, dict.fromkeys(FIELDS, value))

        assert_clear(response)


@pytest.mark.parametrize(("method", "url"), CALLS)
def test_every_call_refuses_every_bad_body_in_one_shape(client: APIClient, method: str, url: str) -> None:
    for body in WHOLE:
        assert_clear(getattr(client, method)(url, body))


def assert_clear(response: Any) -> None:
    assert response.status_code < 500
    if response.status_code >= 400:
        assert response.json().keys() == {"detail", "status_code"}
        assert response.json()["status_code"] == response.status_code


def test_every_address_that_takes_a_body_is_tried() -> None:
    untried = {
        (method, str(route.pattern))
        for route in v1_routes()
        for method in ("post", "put", "patch")
        if hasattr(route.callback.view_class, method) and not str(route.pattern).endswith("/key")
        if not any(route.pattern.match(url.removeprefix("/api/v1/")) for tried, url in CALLS if tried == method)
    }

    assert untried == set()
