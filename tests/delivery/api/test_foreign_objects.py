"""Every address that names an object, called by every role: what is not yours answers like what is not there.

The addresses are taken from the URL patterns, so that a new one is walked too. One that names a new kind of object
fails here until OWN, FOREIGN and ABSENT know it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.urls.converters import get_converters
from rest_framework.test import APIClient

from delivery import commands, jobs, reports
from delivery.api.callers import Bearer, DeviceKey
from delivery.models import Channel, Device, DeviceCommand, DeviceJob, Job, PushNotificationLog, Site
from delivery.priority import Priority
from tests.delivery.api.routes import v1_routes
from tests.delivery.rows import a_channel, a_device

METHODS = ("get", "post", "put", "patch", "delete")
NO_OBJECTS = {"provider": "simulation"}
"""Parts of an address that name nothing of anybody's."""
ABSENT = {
    "device_id": "no-such-device",
    "site_id": "no-such-site",
    "job_id": "job-0000000000000000",
    "message_id": UUID(int=0),
    "device_token": "no-such-address",
    "command_id": "cmd-0000000000000000",
    "own_job_id": "own-0000000000000000",
}
CLAIMS_TO_BE = "devices/<device_id:device_id>/commands/<str:command_id>/ack"
"""Here the address says who is calling, beside the key that proves it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one address."""

    method: str
    route: str
    parts: tuple[str, ...]
    takes_devices: bool
    takes_persons: bool

    def admits(self, role: str) -> bool:
        return self.takes_devices if role == "as_device" else self.takes_persons

    def refusal(self, role: str) -> int:
        """What foreign objects are answered with: a device that names another as itself is told that it is not it."""
        if not self.admits(role):
            return 401
        return 403 if self.route == CLAIMS_TO_BE else 404

    def on(self, objects: dict[str, Any]) -> str:
        url = f"/api/v1/{self.route}"
        for part in self.parts:
            converter = next(name for name in get_converters() if f"<{name}:{part}>" in url)
            url = url.replace(f"<{converter}:{part}>", str({**NO_OBJECTS, **objects}[part]))
        return url

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


def every_call() -> list[Call]:
    return [
        Call(
            method,
            str(address.pattern),
            parts,
            DeviceKey in view.authentication_classes,
            Bearer in view.authentication_classes,
        )
        for address in v1_routes()
        if set(parts := tuple(address.pattern.converters)) - set(NO_OBJECTS)
        for view in [address.callback.view_class]
        for method in METHODS
        if hasattr(view, method)
    ]


CALLS = every_call()


def objects_of(device: Device, orderer: User, owner: User) -> dict[str, Any]:
    """One of each kind: a message of the device, a job that `orderer` ordered, an address of `owner`'s phone."""
    order = jobs.Order(
        name="a job",
        target=jobs.Target(devices=[device.device_id]),
        payload={"title": "Hello", "body": "", "data": {}},
        ordered_by=f"person:{orderer.username}",
    )
    jobs.accept_at_once(order, [device])
    message = PushNotificationLog.objects.get(device_id=device.device_id)
    phone = a_channel(a_device(f"phone-{owner.username}", key="", owner=owner), "fcm")
    return {
        "device_id": device.device_id,
        "site_id": device.site_id,
        "job_id": message.job_id,
        "message_id": message.message_id,
        "device_token": phone.address,
        "command_id": a_command(device).command_id,
        "own_job_id": reports.begin(device, reports.OwnJob("a job", "", Priority.NORMAL, None, None)).job_id,
    }


def a_command(device: Device) -> DeviceCommand:
    wish = commands.Wish(command_type="ping", payload=None, queued_by="person:test", reach=None)
    command = commands.queue(device, wish, idempotency_key=None)
    assert isinstance(command, DeviceCommand)
    return command


@pytest.fixture
def own(device: Device, technician: User) -> dict[str, Any]:
    return objects_of(device, technician, technician)


@pytest.fixture
def foreign(other_site: Site) -> dict[str, Any]:
    stranger = User.objects.create_user("stranger")
    return objects_of(a_device("till-far", site=other_site, key="key-of-till-far"), stranger, stranger)


@pytest.fixture(params=["as_device", "as_technician", "as_customer"])
def role(request: pytest.FixtureRequest, own: dict[str, Any]) -> tuple[str, APIClient]:
    return request.param, request.getfixturevalue(request.param)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_what_is_not_yours_is_not_there(call: Call, role: tuple[str, APIClient], foreign: dict[str, Any]) -> None:
    name, client = role
    before = fingerprint()

    refused = getattr(client, call.method)(call.on(foreign), {})
    absent = getattr(client, call.method)(call.on(ABSENT), {})

    assert refused.status_code == call.refusal(name)
    assert refused.json() == absent.json()
    assert fingerprint() == before


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_what_is_yours_is_there(
    call: Call, as_technician: APIClient, as_device: APIClient, own: dict[str, Any]
) -> None:
    client = as_technician if call.takes_persons else as_device

    answer = getattr(client, call.method)(call.on(own), {})

    assert answer.status_code in (200, 201, 204, 409, 422)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_strangers_are_asked_who_they_are(call: Call, anybody: APIClient, own: dict[str, Any]) -> None:
    assert getattr(anybody, call.method)(call.on(own), {}).status_code == 401


IN_THE_BODY: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]], int]] = [
    ("/api/v1/push/send", lambda named: {"device_id": named["device_id"], "title": "t", "body": "b"}, 404),
    ("/api/v1/sites/berlin-1/jobs", lambda named: {"device_id": named["device_id"]}, 404),
    ("/api/v1/jobs", lambda named: order_for({"devices": [named["device_id"]]}), 422),
    ("/api/v1/jobs", lambda named: order_for({"sites": [named["site_id"]]}), 422),
    ("/api/v1/push/send", lambda named: sent_to(named["device_token"]), 200),
]


@pytest.mark.parametrize(("url", "body", "code"), IN_THE_BODY)
def test_what_is_not_yours_is_not_there_in_a_body_either(
    as_technician: APIClient,
    foreign: dict[str, Any],
    url: str,
    body: Callable[[dict[str, Any]], dict[str, Any]],
    code: int,
) -> None:
    before = fingerprint()

    refused = as_technician.post(url, body(foreign))
    absent = as_technician.post(url, body(ABSENT))

    assert (refused.status_code, absent.status_code) == (code, code)
    assert without(refused.json(), foreign) == without(absent.json(), ABSENT)
    assert fingerprint() == before


def order_for(target: dict[str, Any]) -> dict[str, Any]:
    return {"name": "a job", "target": target, "push_notification": {"title": "t"}}


def sent_to(address: str) -> dict[str, Any]:
    return {"platform": "fcm", "device_token": address, "title": "t", "body": "b"}


def without(answer: dict[str, Any], named: dict[str, Any]) -> str:
    """The answer with what the caller named, and the time, taken out."""
    text = str({key: value for key, value in answer.items() if key != "timestamp"})
    for value in named.values():
        text = text.replace(str(value), "…")
    return text


def fingerprint() -> tuple[Any, ...]:
    """What a foreign call could have changed."""
    return (
        list(Job.objects.order_by("pk").values_list("job_id", "status")),
        list(DeviceCommand.objects.order_by("pk").values_list("command_id", "status")),
        list(DeviceJob.objects.order_by("pk").values_list("job_id", "status")),
        list(PushNotificationLog.objects.order_by("pk").values_list("message_id", "status", "acked_at")),
        list(Channel.objects.order_by("pk").values_list("device_id", "provider", "address_hash", "state")),
        list(
            Device.objects.order_by("pk").values_list(
                "device_id", "name", "key_hash", "previous_key_hash", "permissions"
            )
        ),
    )
