import pytest
from rest_framework.test import APIClient

from delivery import sweeps
from delivery.models import Device, Job, PushNotificationLog


@pytest.fixture
def job(as_technician: APIClient, device: Device) -> Job:
    as_technician.post("/api/v1/push/send", {"device_id": "till-1", "title": "Hello", "body": "World"})
    return Job.objects.get()


def act(client: APIClient, job: Job, verb: str) -> tuple[int, str]:
    answer = client.post(f"/api/v1/jobs/{job.job_id}/{verb}")
    return answer.status_code, answer.json().get("status", "")


def test_a_job_answers_how_it_then_stands_or_409(as_technician: APIClient, job: Job) -> None:
    verbs = ("resume", "pause", "pause", "resume", "retry-failed", "cancel", "cancel", "pause", "resume")

    answers = [act(as_technician, job, verb) for verb in verbs]

    conflict = (409, "")
    assert answers == [
        *(conflict, (200, "paused"), conflict, (200, "running"), conflict),
        *((200, "cancelled"), conflict, conflict, conflict),
    ]


def test_a_paused_message_tells_of_no_end(as_technician: APIClient, job: Job) -> None:
    address = f"/api/v1/messages/{PushNotificationLog.objects.get().message_id}"
    before = as_technician.get(address).json()["expires_at"]

    act(as_technician, job, "pause")
    while_paused = as_technician.get(address).json()["expires_at"]
    act(as_technician, job, "resume")

    assert while_paused is None
    assert as_technician.get(address).json()["expires_at"] > before


def test_a_retry_answers_with_the_new_job_each_time(as_technician: APIClient, job: Job) -> None:
    PushNotificationLog.objects.update(status="failed")
    sweeps.settle_jobs()

    first, again = (as_technician.post(f"/api/v1/jobs/{job.job_id}/retry-failed").json() for _ in range(2))

    assert first["job_id"] == again["job_id"] != job.job_id
    assert (first["retry_of"], first["status"]) == (job.job_id, "queued")
