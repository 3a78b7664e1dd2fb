"""Every call that a client may send again, because its answer was lost: sent twice, and twice at once, it acts once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from knox.models import AuthToken
from rest_framework.test import APIClient

from delivery.models import (
    ApiKey,
    Channel,
    Connectivity,
    Device,
    Job,
    PushNotificationLog,
    Receipt,
    Site,
    TelemetryLog,
)
from delivery.models.keys import key_hash
from tests import races
from tests.delivery.rows import a_channel, a_device, a_job

pytestmark = pytest.mark.django_db(transaction=True)

BOOTSTRAP_KEY = "bootstrap-key-of-the-test-site"
MESSAGE_ID = UUID("01a1fcf3-efe0-79ac-91ef-493fd360fc56")
METRICS = {"device_id": "till-1", "cpu_usage": 1, "memory_usage": 2, "disk_usage": 3}
LINES = [{"type": "error", "message": "printer jammed"}, {"type": "note"}]
PUSH = {"title": "Hello", "body": "World"}
ACK = {"message_id": str(MESSAGE_ID), "device_id": "till-1", "status": "opened"}


@dataclass(frozen=True)
class Call:
    caller: str
    method: str
    path: str
    body: Any
    key: str = ""
    same: tuple[str, ...] = field(default=())
    """What of the answer is the same again."""

    def send(self) -> Any:
        client = CALLERS[self.caller]()
        headers = {"Idempotency-Key": self.key} if self.key else {}
        return getattr(client, self.method)(f"/api/v1{self.path}", self.body, headers=headers)


CALLS = {
    "jobs": Call("backend", "post", "/jobs", {"name": "a", "target": {"all": True}, "push_notification": PUSH}, "k-1",
                 ("job_id",)),
    "site jobs": Call("technician", "post", "/sites/berlin-1/jobs", {"action": "Update"}, "k-1", ("job_id",)),
    "push to a device": Call("backend", "post", "/push/send", {"device_id": "till-1", **PUSH}, "k-1", ("message_id",)),
    "push to an address": Call("backend", "post", "/push/send",
                               {"platform": "simulation", "device_token": "address-1", **PUSH}, "k-1", ("message_id",)),
    "bulk push": Call("backend", "post", "/push/send-bulk",
                      {"platform": "simulation", "device_tokens": ["address-1", "nobody", "address-1"], **PUSH}, "k-1",
                      ("details", "success_count")),
    "agent push": Call("technician", "post", "/agents/till-1/push", PUSH, "k-1", ("message_id",)),
    "provisioning": Call("nobody", "post", "/devices/bootstrap-provision",
                         {"site_id": "berlin-1", "bootstrap_key": BOOTSTRAP_KEY, "device_name": "Till 7"}),
    "device dna": Call("till", "post", "/agent/device-dna",
                       {"device_id": "till-1", "device_type": "pos_terminal", "os_details": "Android 14",
                        "device_token": "f" * 140}),
    "a channel": Call("till", "put", "/devices/till-1/channels/mqtt", {"address": "till-1"}, same=("id", "state")),
    "a subscription of a device": Call("till", "post", "/push/subscribe",
                                       {"platform": "simulation", "device_token": "address-9"}, same=("device_id",)),
    "a subscription of a person": Call("customer", "post", "/push/subscribe",
                                       {"platform": "simulation", "device_token": "address-9"}, same=("device_id",)),
    "a phone": Call("customer", "post", "/messenger/devices/register",
                    {"platform": "android", "provider": "simulation", "device_token": "address-9"},
                    same=("device_token_id", "user_id")),
    "heartbeat": Call("till", "post", "/agent/heartbeat", {"device_id": "till-1", "status": "ONLINE"}),
    "ack": Call("nobody", "post", "/push/ack", ACK, same=("status",)),
    "acks": Call("nobody", "post", "/push/ack/batch", [ACK, {**ACK, "status": "delivered"}], same=("results",)),
    "measurements": Call("till", "post", "/agent/telemetry", [METRICS, METRICS], "k-1", ("data",)),
    "lines of a device": Call("till", "post", "/telemetry/flush", LINES, "k-1", ("batch_id", "saved_count")),
    "lines of a backend": Call("backend", "post", "/telemetry/flush", LINES, "k-1", ("batch_id", "saved_count")),
}  # fmt: skip


def bearer(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def till() -> APIClient:
    client = APIClient()
    client.credentials(HTTP_X_DEVICE_ID="till-1", HTTP_X_API_KEY="key")
    return client


def person(name: str) -> APIClient:
    return bearer(AuthToken.objects.create(user=User.objects.get(username=name))[1])


CALLERS: dict[str, Callable[[], APIClient]] = {
    "nobody": APIClient,
    "till": till,
    "technician": lambda: person("tina"),
    "customer": lambda: person("carl"),
    "backend": lambda: bearer(KEYS["backend"]),
}
KEYS: dict[str, str] = {}


@pytest.fixture(autouse=True)
def world(fresh_counters: None) -> None:
    """A site with one till, which has a channel and one message that was handed over."""
    site = Site.objects.create(site_id="berlin-1", name="Berlin", bootstrap_key_hash=key_hash(BOOTSTRAP_KEY))
    site.technicians.add(User.objects.create_user("tina"))
    User.objects.create_user("carl")
    device = a_device("till-1", site=site)
    channel = a_channel(device, address="address-1")
    job = a_job(status="running", name="before")
    PushNotificationLog.objects.create(
        message_id=MESSAGE_ID, device=device, job=job, site=site, provider="simulation", credential="default",
        channel=channel, status="sent", priority=2, created_at=job.created_at, sent_at=job.created_at,
        expires_at=job.created_at.replace(year=job.created_at.year + 1),
    )  # fmt: skip
    KEYS["backend"] = ApiKey.objects.issue("office", ["jobs:write", "jobs:read", "devices:write"])


def effects() -> dict[str, Any]:
    """What there is. Keys and times of a repeated call may differ; how much there is may not."""
    return {
        "jobs": sorted(Job.objects.values_list("job_id", flat=True)),
        "messages": sorted(PushNotificationLog.objects.values_list("message_id", "status", "acked_at", "opened_at")),
        "receipts": sorted(Receipt.objects.values_list("push_id", "status")),
        "devices": sorted(Device.objects.values_list("device_id", flat=True)),
        "channels": sorted(Channel.objects.values_list("id", "device__device_id", "state")),
        "spans": Connectivity.objects.count(),
        "telemetry": sorted(TelemetryLog.objects.values_list("id", flat=True)),
    }


def part(call: Call, answer: Any) -> dict[str, Any]:
    assert 200 <= answer.status_code < 300, answer.content
    return {name: answer.json()[name] for name in call.same}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_sent_twice_it_acts_once(call: Call) -> None:
    before = effects()
    first = part(call, call.send())
    once = effects()

    again = part(call, call.send())

    assert again == first
    assert effects() == once
    assert once != before


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_sent_twice_at_once_it_acts_once(call: Call) -> None:
    answers = [part(call, answer) for answer in races.at_once(*[call.send] * 4)]

    after = effects()
    assert all(answer == answers[0] for answer in answers)
    assert part(call, call.send()) == answers[0]
    assert effects() == after
    assert all(len(found) <= 1 for found in news(after).values())


def news(after: dict[str, Any]) -> dict[str, Any]:
    """Jobs, messages, devices, channels that the call made, beside those of `world`."""
    return {
        "jobs": [job for job in after["jobs"] if Job.objects.get(job_id=job).name != "before"],
        "messages": [row for row in after["messages"] if row[0] != MESSAGE_ID],
        "devices": [name for name in after["devices"] if name != "till-1"],
        "channels": [row for row in after["channels"] if Channel.objects.get(pk=row[0]).address != "address-1"],
    }


ORDERS = [name for name, call in CALLS.items() if call.same in (("message_id",), ("job_id",))]


CHANGED = {"jobs": {"name": "b"}, "site jobs": {"action": "Restore"}}


@pytest.mark.parametrize("name", ORDERS)
def test_another_body_under_the_same_key_is_refused(name: str) -> None:
    call = CALLS[name]
    call.send()
    other = Call(call.caller, call.method, call.path, {**call.body, **CHANGED.get(name, {"title": "Bye"})}, call.key)

    answer = other.send()

    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]


@pytest.mark.parametrize("name", ORDERS)
def test_without_a_key_each_call_is_an_order_of_its_own(name: str) -> None:
    call = CALLS[name]
    bare = Call(call.caller, call.method, call.path, call.body)

    [bare.send() for _ in range(2)]

    assert len(news(effects())["jobs"]) == 2


def test_one_key_stands_for_one_call(world: None) -> None:
    CALLS["push to a device"].send()

    answer = CALLS["agent push"].send()
    other = CALLS["jobs"].send()

    assert answer.status_code == 200, "another caller's key is another key"
    assert other.status_code == 422


def test_an_order_is_known_again_after_its_address_went_away() -> None:
    first = CALLS["push to an address"].send().json()
    Channel.objects.update(state="disabled")

    again = CALLS["push to an address"].send().json()

    assert (again["success"], again["message_id"]) == (True, first["message_id"])


@pytest.mark.parametrize("name", ["lines of a device", "lines of a backend"])
def test_two_senders_may_give_their_batches_the_same_name(name: str) -> None:
    CALLS[name].send()
    person = Call("customer", "post", "/telemetry/flush", LINES, "k-1", ("saved_count",))

    answer = person.send()

    assert answer.json()["saved_count"] == 2
    assert TelemetryLog.objects.count() == 4


@pytest.mark.parametrize("path", ["/telemetry/flush", "/agent/telemetry"])
def test_a_batch_whose_transaction_failed_is_stored_by_the_retry(path: str) -> None:
    body = LINES if path == "/telemetry/flush" else [METRICS, METRICS]
    broken = [body[0], {**body[1], "timestamp": "not a time"}]
    refused = Call("till", "post", path, broken, "k-1").send()

    answer = Call("till", "post", path, body, "k-1").send()

    assert (refused.status_code, answer.status_code) == (422, 200)
    assert TelemetryLog.objects.count() == 2


def test_both_keys_of_a_race_for_one_name_are_tried_and_one_is_good() -> None:
    answers = [answer.json()["data"] for answer in races.at_once(*[CALLS["provisioning"].send] * 4)]

    used = []
    for data in answers:
        client = APIClient()
        client.credentials(HTTP_X_DEVICE_ID=data["device_id"], HTTP_X_API_KEY=data["api_key"])
        used.append(client.get("/api/v1/push/pending").status_code)

    assert len({data["device_id"] for data in answers}) == 1
    assert sorted(used) == [200, 401, 401, 401]
