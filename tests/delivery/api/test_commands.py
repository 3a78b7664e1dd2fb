"""Commands over HTTP: who may order what, and what a device may say."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from delivery.models import ApiKey, AuditLog, Device, DeviceCommand, PushNotificationLog
from tests.delivery.rows import a_channel

QUEUE = "/api/v1/devices/till-1/commands"
GRANTS = "/api/v1/devices/device/till-1/permissions"
ROOT, COMMANDS = "root_access", "command_execution"


def grant(device: Device, *names: str) -> None:
    Device.objects.filter(pk=device.pk).update(permissions=dict.fromkeys(names, True))


@pytest.mark.parametrize(
    ("command_type", "payload", "missing"),
    [
        ("restart", None, [ROOT]),
        ("shutdown", None, [ROOT]),
        ("run_command", {"command": "uptime"}, [COMMANDS]),
        ("run_script", {"script": "uptime"}, [COMMANDS]),
        ("run_script", {"script": "uptime", "run_as_root": True}, [COMMANDS, ROOT]),
        ("run_command", {"data": {"command": "uptime", "run_as_root": True}}, [COMMANDS, ROOT]),
        ("run_command", {"data": {"command": "uptime"}, "run_as_root": False}, [COMMANDS]),
    ],
)
def test_what_the_owner_has_not_granted_is_not_ordered(
    as_technician: APIClient, device: Device, command_type: str, payload: Any, missing: list[str]
) -> None:
    order = {"command_type": command_type, "payload": payload}

    refused = as_technician.post(QUEUE, order)
    grant(device, *missing)
    allowed = as_technician.post(QUEUE, order)

    assert (refused.status_code, allowed.status_code) == (403, 201)
    assert refused.json() == {"detail": {"missing_permissions": missing}, "status_code": 403}
    assert DeviceCommand.objects.count() == 1


@pytest.mark.parametrize(
    "command_type",
    ["ping", "health_check", "request_permission", "restart_pos_app", "status_request", "update_config",
     "update_pos_payment_config"],
)  # fmt: skip
def test_what_needs_no_grant_is_queued(as_technician: APIClient, device: Device, command_type: str) -> None:
    answer = as_technician.post(QUEUE, {"command_type": command_type})

    assert (answer.status_code, answer.json()["status"], answer.json()["payload"]) == (201, "pending", None)


def test_a_grant_is_given_by_the_device_and_read_by_the_technician(
    as_device: APIClient, as_technician: APIClient
) -> None:
    as_device.patch(GRANTS, {"permissions": {ROOT: True}})
    as_device.patch(GRANTS, {"permissions": {COMMANDS: True}})

    seen = as_technician.get(GRANTS).json()["data"]["permissions"]

    assert {name for name, given in seen.items() if given} == {ROOT, COMMANDS}
    assert list(AuditLog.objects.filter(action="changed permissions").values_list("actor", flat=True)) == [
        "device:till-1",
        "device:till-1",
    ]


def test_a_technician_grants_nothing_to_themselves(as_technician: APIClient, device: Device) -> None:
    answer = as_technician.patch(GRANTS, {"permissions": {ROOT: True}})

    device.refresh_from_db()
    assert (answer.status_code, device.permissions) == (403, {})


def test_the_owner_of_a_device_grants_without_it(as_customer: APIClient, customer: User, device: Device) -> None:
    Device.objects.update(owner=customer)

    answer = as_customer.patch(GRANTS, {"permissions": {ROOT: True}})

    assert (answer.status_code, answer.json()["data"]["permissions"][ROOT]) == (200, True)


@pytest.mark.parametrize(
    "said", [{}, {"permissions": None}, {"permissions": {"fly": True}}, {"permissions": {ROOT: "perhaps"}}]
)
def test_refuses_a_grant_that_is_none(as_device: APIClient, device: Device, said: dict[str, Any]) -> None:
    assert as_device.patch(GRANTS, said).status_code == 422


@pytest.mark.parametrize(
    ("platform", "cannot"),
    [
        ("Android 14", {ROOT}),
        ("Windows 11", {ROOT}),
        ("iPadOS 18", {ROOT, COMMANDS, "process_monitoring", "filesystem_access"}),
        ("Linux 6.1", set()),
        ("", set()),
    ],
)
def test_says_what_apps_on_the_system_can_do(
    as_device: APIClient, device: Device, platform: str, cannot: set[str]
) -> None:
    Device.objects.update(platform=platform)

    capabilities = as_device.get(GRANTS).json()["data"]["capabilities"]

    assert {name for name, can in capabilities.items() if not can} == cannot


def test_the_same_idempotency_key_queues_a_command_once(as_technician: APIClient, device: Device) -> None:
    a_channel(device)
    headers = {"Idempotency-Key": "k-1"}

    first, again = (as_technician.post(QUEUE, {"command_type": "ping"}, headers=headers) for _ in range(2))
    other = as_technician.post(QUEUE, {"command_type": "health_check"}, headers=headers)

    assert first.json() == again.json()
    assert other.status_code == 422
    assert other.json()["detail"].keys() == {"Idempotency-Key"}
    assert (DeviceCommand.objects.count(), PushNotificationLog.objects.count()) == (1, 1)


@pytest.mark.parametrize("method", ["put", "post"])
def test_a_device_reports_as_much_output_as_agents_collect(
    as_device: APIClient, as_technician: APIClient, method: str
) -> None:
    command_id = as_technician.post(QUEUE, {"command_type": "ping"}).json()["command_id"]
    result = {"exit_code": 1, "stdout": "o" * 65_536, "stderr": "e" * 65_536}

    answer = getattr(as_device, method)(f"/api/v1/devices/{command_id}/status", {"status": "failed", "result": result})

    [listed] = as_technician.get("/api/v1/devices/device/till-1/commands").json()
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert listed["result"] == result
    assert listed["sent_at"] is not None
    assert listed["executed_at"] is not None


def test_taking_a_command_that_is_done_changes_nothing(as_device: APIClient, as_technician: APIClient) -> None:
    command_id = as_technician.post(QUEUE, {"command_type": "ping"}).json()["command_id"]
    as_device.put(f"/api/v1/devices/{command_id}/status", {"status": "completed"})

    answer = as_device.post(f"{QUEUE}/{command_id}/ack")

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_a_device_is_told_not_to_do_what_has_expired(as_device: APIClient, as_technician: APIClient) -> None:
    command_id = as_technician.post(QUEUE, {"command_type": "ping"}).json()["command_id"]
    DeviceCommand.objects.update(status="expired")

    answer = as_device.post(f"{QUEUE}/{command_id}/ack")

    assert answer.status_code == 409
    assert as_device.get("/api/v1/devices/pending").json() == []


@pytest.mark.parametrize(("scope", "code"), [("devices:write", 201), ("devices:read", 403), ("jobs:write", 403)])
def test_a_backend_needs_the_scope_to_command(as_backend: APIClient, device: Device, scope: str, code: int) -> None:
    key = ApiKey.objects.issue("commander", [scope])
    as_backend.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")

    assert as_backend.post(QUEUE, {"command_type": "ping"}).status_code == code
