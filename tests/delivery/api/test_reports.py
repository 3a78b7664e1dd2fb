"""What a device reports in words, and its own background jobs."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from delivery import reports
from delivery.models import Device, DeviceJob, DeviceReport, Job
from delivery.models.device_job import DeviceJobStatus
from delivery.priority import Priority
from tests import races
from tests.delivery.rows import a_device

LOG = {"device_id": "till-1", "level": "error", "message": "No paper", "category": "printer", "context": {"tray": 2}}
REPORTS: list[tuple[str, dict[str, Any], tuple[str, str, str, str]]] = [
    ("logs", LOG, ("log", "error", "printer", "No paper")),
    (
        "audit",
        {"device_id": "till-1", "event_type": "agent_started", "description": "Started", "metadata": {"v": 1}},
        ("audit", "", "agent_started", "Started"),
    ),
    (
        "alert",
        {"device_id": "till-1", "title": "Hot", "description": "80 C", "severity": "critical", "category": "hardware"},
        ("alert", "critical", "hardware", "Hot"),
    ),
    (
        "config-history",
        {"device_id": "till-1", "action": "update_config", "parameter_name": "tax", "new_value": {"rate": 7}},
        ("config", "info", "update_config", "tax"),
    ),
]


@pytest.mark.parametrize(("path", "body", "stored"), REPORTS)
def test_a_report_is_kept_with_what_it_says(
    as_device: APIClient, device: Device, path: str, body: dict[str, Any], stored: tuple[str, str, str, str]
) -> None:
    answer = as_device.post(f"/api/v1/agent/{path}", body)

    report = DeviceReport.objects.get()
    assert (answer.status_code, answer.json()["status"]) == (200, "success")
    assert (report.kind, report.level, report.category, report.text) == stored
    assert report.device == device
    assert report.details


@pytest.mark.parametrize(("path", "body", "stored"), REPORTS)
def test_a_device_reports_for_itself_alone(
    as_device: APIClient, device: Device, path: str, body: dict[str, Any], stored: Any
) -> None:
    answer = as_device.post(f"/api/v1/agent/{path}", {**body, "device_id": "till-2"})

    assert answer.status_code == 403
    assert not DeviceReport.objects.exists()


def test_of_each_device_and_kind_only_the_newest_are_kept(
    as_device: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "KEPT", 2)
    other = a_device("till-2")
    reports.store(other, reports.Report("log", "", "", "of another", {}, None))
    as_device.post("/api/v1/agent/alert", {"device_id": "till-1", "title": "of another kind"})

    for number in range(4):
        as_device.post("/api/v1/agent/logs", {**LOG, "message": f"line {number}"})

    assert set(DeviceReport.objects.values_list("text", flat=True)) == {
        "line 2",
        "line 3",
        "of another",
        "of another kind",
    }


def test_a_devices_own_job_is_no_order(as_device: APIClient, device: Device) -> None:
    begun = as_device.post("/api/v1/agent/jobs", {"device_id": "till-1", "action": "Clean up"}).json()["data"]
    address = f"/api/v1/agent/jobs/{begun['job_id']}"

    moved = [
        as_device.put(address, {"device_id": "till-1", **said}).json()["data"]["status"]
        for said in (
            {"status": "running"},
            {"status": "failed", "error_message": "no disk"},
            {"status": "completed"},
            {"status": "running"},
        )
    ]

    assert begun["status"] == "pending"
    assert moved == ["running", "failed", "failed", "failed"]
    assert DeviceJob.objects.get().error_message == "no disk"
    assert not Job.objects.exists()


@pytest.mark.parametrize("status", ["pending", "done", None, ["failed"]])
def test_refuses_a_state_that_a_job_cannot_be_moved_to(as_device: APIClient, device: Device, status: Any) -> None:
    begun = as_device.post("/api/v1/agent/jobs", {"device_id": "till-1", "action": "Clean up"}).json()["data"]

    answer = as_device.put(f"/api/v1/agent/jobs/{begun['job_id']}", {"device_id": "till-1", "status": status})

    assert answer.status_code == 422


@pytest.mark.django_db(transaction=True)
def test_of_two_reports_of_a_jobs_end_the_first_to_commit_wins() -> None:
    device = a_device()
    own = reports.begin(device, reports.OwnJob("a", "", Priority.NORMAL, None, None))

    def end(status: str) -> int:
        return DeviceJob.objects.finish(
            own.job_id, DeviceJobStatus(status), result=None, error_message="", now=own.created_at
        )

    with races.rival() as rival:
        assert rival.does(lambda: end("failed")) == 1
        other = races.started(lambda: end("completed"))
        rival.commit()
        changed = other.result(30)

    own.refresh_from_db()
    assert (changed, own.status) == (0, "failed")
