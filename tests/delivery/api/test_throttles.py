import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches
from pytest_django import Settings
from rest_framework.test import APIClient

from delivery.api import throttles
from delivery.api.throttles import Rate, spend
from delivery.models import Device
from delivery.quiet import Quiet
from tests.delivery.api.conftest import device_client

HEARTBEAT = "/api/v1/agent/heartbeat"


@pytest.fixture(autouse=True)
def _three_a_minute(fresh_counters: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(throttles.RATES, "default", Rate(per_credential=3, per_address=None))
    monkeypatch.setitem(throttles.RATES, "sign_in", Rate(per_credential=None, per_address=3))
    monkeypatch.setattr(throttles, "_quiet", Quiet(throttles.QUIET_S))


def test_counts_by_credential(device: Device, make_device: Callable[..., Device]) -> None:
    make_device("till-2", device.site, key="key-of-till-2")
    busy, calm = device_client("till-1", "key-of-till-1"), device_client("till-2", "key-of-till-2")

    codes = [busy.post(HEARTBEAT, {"device_id": "till-1"}).status_code for _ in range(4)]

    assert codes == [200, 200, 200, 429]
    assert calm.post(HEARTBEAT, {"device_id": "till-2"}).status_code == 200


def test_says_when_to_come_back(as_device: APIClient) -> None:
    for _ in range(3):
        as_device.post(HEARTBEAT, {"device_id": "till-1"})

    response = as_device.post(HEARTBEAT, {"device_id": "till-1"})

    assert 1 <= int(response.headers["Retry-After"]) <= throttles.WINDOW_S
    assert response.json()["status_code"] == 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "same_caller"),
    [(0, "203.0.113.{}", True), (1, "203.0.113.{}", False), (1, "203.0.113.{}, 198.51.100.1", True)],
)
def test_believes_forwarded_addresses_as_far_as_num_proxies_says(
    anybody: APIClient, settings: Settings, proxies: int, forwarded: str, same_caller: bool
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}

    codes = [
        anybody.post("/api/v1/auth/token", {}, headers={"X-Forwarded-For": forwarded.format(number)}).status_code
        for number in range(4)
    ]

    assert codes == ([422, 422, 422, 429] if same_caller else [422] * 4)


def test_counts_in_one_place_for_all_processes(fresh_counters: None) -> None:
    spend("default", address=None, credential="a")

    [key] = [key for key in (f"rate:default:c:a:{window}" for window in _windows()) if caches["default"].get(key)]
    assert caches["default"].get(key) == 1


def _windows() -> list[int]:
    now = int(time.time() // throttles.WINDOW_S)
    return [now - 1, now]


def test_while_the_shared_cache_is_away_each_process_allows_its_share(
    as_device: APIClient, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setitem(throttles.RATES, "default", Rate(per_credential=8, per_address=None))
    settings.CACHES = {
        **settings.CACHES,
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        },
    }

    codes: list[Any] = [as_device.post(HEARTBEAT, {"device_id": "till-1"}).status_code for _ in range(4)]

    assert codes == [200, 200, 429, 429]
