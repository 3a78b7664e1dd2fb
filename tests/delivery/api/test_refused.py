"""Refused registrations are counted, by call and answer."""

import pytest
from django.db import DatabaseError
from rest_framework.test import APIClient

from delivery.models import Device, RefusedRegistration, Site
from delivery.models.refused_registration import RefusedRegistrationQuerySet
from tests.delivery.rows import a_channel, a_device

CHANNEL = "/api/v1/devices/till-1/channels/"
PROVISION = "/api/v1/devices/bootstrap-provision"


def counted() -> dict[str, int]:
    return dict(RefusedRegistration.objects.values_list("why", "count"))


def test_what_is_wrong_with_a_registration_is_counted(as_device: APIClient, device: Device) -> None:
    a_channel(a_device("another"), "fcm", address="x" * 40)

    for _ in range(2):
        as_device.put(f"{CHANNEL}fcm", {"address": ""})
    as_device.put(f"{CHANNEL}fcm", {"address": "x" * 40})

    assert counted() == {"register 422": 2, "register 409": 1}


def test_a_device_with_a_wrong_bootstrap_key_is_counted(anybody: APIClient, site: Site) -> None:
    body = {
        "site_id": site.site_id, "bootstrap_key": "wrong", "device_name": "Till", "device_type": "till",
        "os_details": "Android",
    }  # fmt: skip

    anybody.post(PROVISION, body)
    anybody.post(PROVISION, {**body, "site_id": "no-such-site"})

    assert counted() == {"provision 401": 1, "provision 404": 1}


def test_registrations_that_are_taken_and_strangers_are_not(
    as_device: APIClient, anybody: APIClient, device: Device
) -> None:
    as_device.put(f"{CHANNEL}simulation", {"address": "an-address"})
    anybody.put(f"{CHANNEL}simulation", {"address": "an-address"})
    as_device.put("/api/v1/devices/another/channels/fcm", {"address": "an-address"})
    as_device.post("/api/v1/agent/heartbeat", {"device_id": 7})

    assert counted() == {}


def test_an_answer_does_not_hang_on_the_counting(as_device: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> int:
        raise DatabaseError

    monkeypatch.setattr(RefusedRegistrationQuerySet, "note", away)

    assert as_device.put(f"{CHANNEL}fcm", {"address": ""}).status_code == 422
