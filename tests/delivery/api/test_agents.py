from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from delivery import heartbeats
from delivery.models import Channel, Connectivity, Device, Site

DNA = "/api/v1/agent/device-dna"
HEARTBEAT = "/api/v1/agent/heartbeat"
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def dna(**changed: Any) -> dict[str, Any]:
    return {"device_id": "till-1", "device_type": "pos_terminal", "os_details": "Android 14", **changed}


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def beat(device: Device, seconds: float, device_time: datetime | None = None) -> datetime:
    device.refresh_from_db()
    return heartbeats.record(device, device_time=device_time, now=at(seconds))


def spans(device: Device) -> list[tuple[float, float, float | None]]:
    """(online_from, last_seen, closed_at) in seconds after noon."""
    return [
        (
            (span.online_from - NOON).total_seconds(),
            (span.last_seen - NOON).total_seconds(),
            None if span.closed_at is None else (span.closed_at - NOON).total_seconds(),
        )
        for span in Connectivity.objects.filter(device=device).order_by("online_from")
    ]


def test_a_device_says_who_it_is(as_device: APIClient, device: Device) -> None:
    body = dna(
        site_id="berlin-1",
        mac_address="00:11",
        local_ip="10.0.0.2",
        wan_ip="192.0.2.7",
        peripherals=[{"name": "printer"}],
    )

    response = as_device.post(DNA, body)

    assert response.status_code == 200
    assert response.json() == {
        "status": "success",
        "message": "Device registered successfully",
        "data": {
            "device_id": "till-1",
            "site_id": "berlin-1",
            "lifecycle_state": "active",
            "mac_address": "00:11",
            "os_details": "Android 14",
            "local_ip": "10.0.0.2",
            "wan_ip": "192.0.2.7",
            "peripherals": [{"name": "printer"}],
            "created": True,
        },
    }
    assert as_device.post(DNA, body).json()["data"]["created"] is False


def test_a_device_does_not_move_itself_to_another_site(as_device: APIClient, other_site: Site) -> None:
    response = as_device.post(DNA, dna(site_id="hamburg-1"))

    assert response.json()["data"]["site_id"] == "berlin-1"


@pytest.mark.parametrize(
    ("os_details", "token", "provider"),
    [
        ("Android 14", "fcm-token", "fcm"),
        ({"name": "Windows 11"}, "https://db5p.notify.windows.com/?token=a", "wns"),
        ("iPadOS 18.1", "ab" * 32, "apns"),
        ("iOS 18", "AB" * 32, "apns"),
    ],
)
def test_the_system_decides_which_channel_a_token_becomes(
    as_device: APIClient, device: Device, os_details: Any, token: str, provider: str
) -> None:
    response = as_device.post(DNA, dna(os_details=os_details, device_token=token))

    assert response.status_code == 200
    [channel] = Channel.objects.filter(device=device)
    assert channel.provider == provider
    assert channel.address.lower() == token.lower()


@pytest.mark.parametrize(
    ("os_details", "token"),
    [("iOS 18", "not hexadecimal"), ("Windows 11", "https://evil.example/?x=.notify.windows.com"), ("BeOS", "a")],
)
def test_refuses_a_token_that_its_system_cannot_have(
    as_device: APIClient, device: Device, os_details: str, token: str
) -> None:
    response = as_device.post(DNA, dna(os_details=os_details, device_token=token))

    assert response.status_code == 422
    assert response.json()["detail"].keys() == {"device_token"}
    assert not Channel.objects.exists()
    device.refresh_from_db()
    assert device.dna == {}


def test_a_heartbeat_answers_when_the_device_was_heard(as_device: APIClient, device: Device) -> None:
    body = {"device_id": "till-1", "timestamp": "2026-11-21T12:00:00", "status": "ONLINE", "site_id": "x", "load": [1]}

    response = as_device.post(HEARTBEAT, body)

    device.refresh_from_db()
    assert device.last_heartbeat_at is not None
    assert response.status_code == 200
    assert response.json() == {
        "status": "success",
        "message": "Heartbeat updated successfully",
        "data": {"device_id": "till-1", "last_heartbeat_at": device.last_heartbeat_at.isoformat()},
    }


@pytest.mark.parametrize("url", [DNA, HEARTBEAT, "/api/v1/agent/telemetry"])
def test_a_device_that_names_another_is_refused(as_device: APIClient, url: str) -> None:
    numbers = {"cpu_usage": 1, "memory_usage": 1, "disk_usage": 1}

    response = as_device.post(url, {**dna(device_id="till-2"), **numbers})

    assert response.status_code == 403
    assert response.json() == {"detail": "The body names another device", "status_code": 403}


@pytest.mark.parametrize("time", ["yesterday", 5, "2026-13-01"])
def test_refuses_a_time_that_is_none(as_device: APIClient, time: Any) -> None:
    response = as_device.post(HEARTBEAT, {"device_id": "till-1", "timestamp": time})

    assert response.status_code == 422
    assert response.json()["detail"].keys() == {"timestamp"}


def test_heartbeats_extend_one_span(device: Device) -> None:
    for seconds in (0, 15, 40, 150):
        beat(device, seconds)

    assert spans(device) == [(0, 150, None)]


def test_writes_at_most_once_in_15_seconds(device: Device) -> None:
    beat(device, 0)

    heard_at = beat(device, 14.9)

    assert heard_at == NOON
    assert spans(device) == [(0, 0, None)]
    assert beat(device, 15) == at(15)


def test_a_silence_of_over_120_seconds_closes_the_span_where_it_began(device: Device) -> None:
    beat(device, 0)
    beat(device, 120)

    beat(device, 241)

    assert spans(device) == [(0, 120, 240), (241, 241, None)]


def test_the_sweep_closes_spans_of_silent_devices_once(device: Device) -> None:
    beat(device, 0)

    closed = [heartbeats.close_silent(at(120)), heartbeats.close_silent(at(121)), heartbeats.close_silent(at(500))]

    assert closed == [0, 1, 0]
    assert spans(device) == [(0, 0, 120)]


def test_learns_what_the_clock_is_off_by_from_the_fastest_heartbeat(device: Device) -> None:
    for seconds, delay_s in ((0, 0.9), (20, 0.2), (40, 3)):
        beat(device, seconds, device_time=at(seconds - delay_s - 3_600))

    device.refresh_from_db()
    assert device.clock_offset_ms == 3_600_200


def test_a_device_without_a_clock_of_this_century_is_heard_all_the_same(as_device: APIClient, device: Device) -> None:
    response = as_device.post(HEARTBEAT, {"device_id": "till-1", "timestamp": "1970-01-01T00:00:00Z"})

    device.refresh_from_db()
    assert response.status_code == 200
    assert device.clock_offset_ms is not None


@pytest.mark.django_db(transaction=True)
def test_heartbeats_at_once_open_one_span(
    device: Device, run_at_once: Callable[[int, Callable[[], Any]], list[Any]]
) -> None:
    run_at_once(6, lambda: heartbeats.record(Device.objects.get(pk=device.pk), device_time=NOON, now=at(0)))

    assert spans(device) == [(0, 0, None)]


@pytest.mark.parametrize(("heard", "state"), [(None, "unknown"), (-60, "online"), (-3_600, "offline")])
def test_tells_whether_a_device_is_online(as_device: APIClient, device: Device, heard: int | None, state: str) -> None:
    heard_at = None if heard is None else datetime.now(UTC) + timedelta(seconds=heard)
    Device.objects.update(last_heartbeat_at=heard_at)

    response = as_device.get("/api/v1/agent/till-1/status")

    assert response.status_code == 200
    assert response.json()["data"] == {
        "device_id": "till-1",
        "lifecycle_state": "active",
        "connectivity_state": state,
        "health_state": "unknown",
        "last_heartbeat_at": None if heard_at is None else heard_at.isoformat(),
    }
