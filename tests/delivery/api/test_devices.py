from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from delivery.models import Channel, Device, Job, PushNotificationLog, Site
from delivery.models.channel import address_hash
from tests.delivery.api.conftest import device_client

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LOGS = "/api/v1/devices/device/till-1/push-logs"


@pytest.fixture
def foreign(other_site: Site, make_device: Callable[..., Device]) -> Device:
    return make_device("till-2", other_site, key="key-of-till-2")


def message(device: Device, number: int, **more: Any) -> PushNotificationLog:
    job = Job.objects.create(
        name="n", target={}, payload={"title": f"T{number}", "body": "B"}, ttl_s=300, created_at=NOON, last_device=1,
        ordered_by="tests",
    )  # fmt: skip
    return PushNotificationLog.objects.create(
        device=device,
        job=job,
        provider="fcm",
        credential="default",
        priority=2,
        created_at=NOON,
        expires_at=NOON,
        **more,
    )


def test_a_technician_sees_their_sites_and_how_many_devices_each_has(
    as_technician: APIClient, device: Device, foreign: Device
) -> None:
    response = as_technician.get("/api/v1/sites")

    assert response.json() == {
        "sites": [{"site_id": "berlin-1", "name": "Berlin 1", "timezone": "UTC", "devices": 1}],
        "next": None,
    }


def test_a_device_is_listed_with_its_channels_and_no_address(as_technician: APIClient, device: Device) -> None:
    for rank, (provider, address) in enumerate([("mqtt", "secret-1"), ("fcm", "secret-2")]):
        Channel.objects.create(
            device=device, provider=provider, address=address, address_hash=address_hash(address), rank=rank,
            registered_at=NOON,
        )  # fmt: skip

    response = as_technician.get("/api/v1/devices")

    assert response.json() == {
        "devices": [
            {
                "device_id": "till-1",
                "name": "till-1",
                "site_id": "berlin-1",
                "platform": "",
                "connectivity_state": "unknown",
                "channels": [
                    {"provider": "mqtt", "rank": 0, "state": "active"},
                    {"provider": "fcm", "rank": 1, "state": "active"},
                ],
            }
        ],
        "next": None,
    }


def test_pages_hold_every_device_once(as_backend: APIClient, site: Site, make_device: Callable[..., Device]) -> None:
    expected = [make_device(f"till-{number}", site).device_id for number in range(7)]

    found, address = [], "/api/v1/devices?limit=3&site=berlin-1"
    while address:
        page = as_backend.get(address).json()
        found.append([entry["device_id"] for entry in page["devices"]])
        address = page["next"]

    assert [len(page) for page in found] == [3, 3, 1]
    assert [device_id for page in found for device_id in page] == expected


@pytest.mark.parametrize(
    "query", ["cursor=a", "cursor=-1", "cursor=" + "9" * 30, "limit=0", "limit=501", "limit=%00", "cursor=%C2%B2"]
)
def test_refuses_a_page_that_is_none(as_backend: APIClient, query: str) -> None:
    assert as_backend.get(f"/api/v1/devices?{query}").status_code == 422


def test_a_site_with_a_strange_name_has_no_devices(as_backend: APIClient, device: Device) -> None:
    assert as_backend.get("/api/v1/devices?site=%00%F0%9F%98%80").json() == {"devices": [], "next": None}


def test_shows_a_devices_messages_newest_first(as_device: APIClient, device: Device) -> None:
    first = message(
        device, 1, status="delivered", sent_at=NOON, received_at=NOON + timedelta(seconds=1), latency_ms=1_000
    )
    second = message(device, 2, status="failed", error_message="Refused", error_code="X")

    response = as_device.get(f"{LOGS}?limit=50")

    assert response.status_code == 200
    assert response.json() == [
        {
            "message_id": str(second.message_id),
            "provider": "fcm",
            "status": "failed",
            "title": "T2",
            "body": "B",
            "sent_at": None,
            "received_at": None,
            "latency_ms": None,
            "error_message": "Refused",
        },
        {
            "message_id": str(first.message_id),
            "provider": "fcm",
            "status": "delivered",
            "title": "T1",
            "body": "B",
            "sent_at": "2026-11-21T12:00:00+00:00",
            "received_at": "2026-11-21T12:00:01+00:00",
            "latency_ms": 1_000,
            "error_message": "",
        },
    ]
    assert len(as_device.get(f"{LOGS}?limit=1").json()) == 1


def test_a_new_key_leaves_the_old_one_good_for_24_hours(as_technician: APIClient, device: Device) -> None:
    key = as_technician.post("/api/v1/devices/till-1/key").json()["api_key"]

    before = [works("till-1", key), works("till-1", "key-of-till-1")]
    Device.objects.update(previous_key_until=datetime.now(UTC) - timedelta(seconds=1))
    after = [works("till-1", key), works("till-1", "key-of-till-1")]

    assert (before, after) == ([200, 200], [200, 401])


def test_revoked_keys_are_worth_nothing_at_once(as_technician: APIClient, device: Device) -> None:
    key = as_technician.post("/api/v1/devices/till-1/key").json()["api_key"]

    response = as_technician.delete("/api/v1/devices/till-1/key")

    assert response.status_code == 204
    assert [works("till-1", key), works("till-1", "key-of-till-1"), works("till-1", "")] == [401, 401, 401]


def works(device_id: str, key: str) -> int:
    return int(device_client(device_id, key).get(f"/api/v1/agent/{device_id}/status").status_code)


SEEN = [
    ("get", "/api/v1/agent/{}/status"),
    ("get", "/api/v1/devices/device/{}/push-logs"),
    ("put", "/api/v1/devices/{}/channels/fcm"),
]
MANAGED = [("post", "/api/v1/devices/{}/key"), ("delete", "/api/v1/devices/{}/key")]


@pytest.mark.parametrize(
    ("role", "method", "url"),
    [
        *((role, *call) for role in ("as_device", "as_technician", "as_customer") for call in SEEN),
        *((role, *call) for role in ("as_technician", "as_customer") for call in MANAGED),
    ],
)
def test_a_foreign_device_and_none_at_all_answer_alike(
    request: pytest.FixtureRequest, device: Device, foreign: Device, role: str, method: str, url: str
) -> None:
    call = getattr(request.getfixturevalue(role), method)

    answers = [call(url.format(device_id), {"address": "token-1"}) for device_id in ("till-2", "till-404")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()


def test_an_owner_sees_a_device_and_does_not_manage_it(
    as_customer: APIClient, customer: User, site: Site, make_device: Callable[..., Device]
) -> None:
    make_device("till-1", site, key="key-of-till-1", owner=customer)

    assert as_customer.get("/api/v1/agent/till-1/status").status_code == 200
    assert as_customer.post("/api/v1/devices/till-1/key").status_code == 404
