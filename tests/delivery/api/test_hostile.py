"""Whatever comes, the answer is a clear 4xx in one shape, and never a 500."""

from typing import Any

import pytest
from django.urls import get_resolver
from rest_framework.test import APIClient

from delivery.models import Device

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
]
FIELDS = (
    "address", "api_key", "body", "bootstrap_key", "capabilities", "config_url", "cpu_usage", "data", "device_id",
    "device_info", "device_name", "device_token", "device_tokens", "device_type", "disk_usage", "environment",
    "memory_usage", "message", "message_id", "meta", "name", "os_details", "password", "peripherals", "platform",
    "priority", "proof", "provider", "push_notification", "rank", "received_at", "site_id", "status", "target",
    "timestamp", "title", "ttl", "type", "user_id",
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


@pytest.fixture(params=["anybody", "as_device", "as_technician", "as_backend"])
def client(request: pytest.FixtureRequest, device: Device) -> APIClient:
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
    routes = {
        str(pattern.pattern)
        for group in get_resolver().url_patterns
        for version in getattr(group, "url_patterns", [])
        if str(version.pattern) == "v1/"
        for pattern in version.url_patterns
        if {"post", "put", "patch"} & set(vars(pattern.callback.view_class))
        and not str(pattern.pattern).endswith("/key")
    }

    tried = {url.removeprefix("/api/v1/") for _, url in CALLS}
    shown = {
        route.replace("<device_id:device_id>", "till-1")
        .replace("<str:site_id>", "berlin-1")
        .replace("<str:provider>", "fcm")
        for route in routes
    }
    assert shown <= tried
