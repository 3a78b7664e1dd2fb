"""`/api/v1/analytics/sites/{site_id}/pin`: a technician chooses a site's provider."""

from datetime import datetime
from typing import Any

import pytest
from rest_framework.test import APIClient

from analytics import latency
from delivery.models import ApiKey, AuditLog, Channel, Device, Site
from tests.analytics.api.conftest import rollup
from tests.delivery.rows import a_channel

pytestmark = pytest.mark.django_db


def url(site: Site) -> str:
    return f"/api/v1/analytics/sites/{site.site_id}/pin"


def pin(client: APIClient, site: Site, **body: Any) -> Any:
    return client.put(url(site), body)


def order(device: Device) -> list[str]:
    return list(Channel.objects.filter(device=device).order_by("rank", "id").values_list("provider", flat=True))


@pytest.fixture
def till(device: Device) -> Device:
    a_channel(device, "fcm", rank=0)
    a_channel(device, "mqtt", rank=1)
    return device


@pytest.fixture
def faster_by_mqtt(site: Site, present: datetime) -> None:
    for provider, took_ms in (("fcm", 900), ("mqtt", 90)):
        rollup(
            site, present, provider, handed_over=30, delivered=30, ordered=30, late=0, failed=0, expired=0,
            cancelled=0, skipped=0, latency=latency.histogram([took_ms] * 30),
        )  # fmt: skip


def test_a_technician_pins_and_takes_it_back(as_technician: APIClient, site: Site, till: Device) -> None:
    pinned = pin(as_technician, site, provider="mqtt").json()

    assert (pinned["provider"], pinned["pinned_by"], pinned["suggested"]) == ("mqtt", "person:tina", False)
    assert order(till) == ["mqtt", "fcm"]

    unpinned = as_technician.delete(url(site)).json()

    assert (unpinned["provider"], order(till)) == (None, ["fcm", "mqtt"])
    assert as_technician.get(url(site)).json() == unpinned


@pytest.mark.usefixtures("faster_by_mqtt")
def test_the_suggestion_is_the_fastest_and_can_be_accepted(as_technician: APIClient, site: Site, till: Device) -> None:
    suggested = as_technician.get(url(site)).json()["suggestion"]

    accepted = pin(as_technician, site, suggestion=True).json()

    assert suggested["provider"] == "mqtt"
    assert (accepted["provider"], accepted["suggested"], accepted["suggestion"]) == ("mqtt", True, None)
    assert AuditLog.objects.get(action="pinned a provider").details["why"] == suggested["why"]


def test_without_enough_messages_nothing_is_suggested(as_technician: APIClient, site: Site, till: Device) -> None:
    assert as_technician.get(url(site)).json()["suggestion"] is None
    assert pin(as_technician, site, suggestion=True).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"provider": "pigeon"}, 422),
        ({}, 422),
        ({"provider": "mqtt", "suggestion": True}, 422),
        ({"provider": "wns"}, 409),
        ({"provider": "mqtt_push"}, 200),
    ],
)
def test_only_what_the_site_has_can_be_pinned(
    as_technician: APIClient, site: Site, till: Device, body: dict[str, Any], status: int
) -> None:
    assert pin(as_technician, site, **body).status_code == status


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_a_foreign_and_an_unknown_site_are_the_same_404(
    as_technician: APIClient, other_site: Site, method: str
) -> None:
    answers = [
        getattr(as_technician, method)(f"/api/v1/analytics/sites/{site_id}/pin", {"provider": "mqtt"})
        for site_id in (other_site.site_id, "no-such-site", "%00")
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [(["analytics:read"], 200, 403), (["devices:write"], 403, 200), (["jobs:write"], 403, 403)],
)
def test_a_backend_needs_a_scope_to_read_and_another_to_pin(
    anybody: APIClient, site: Site, till: Device, scopes: list[str], reads: int, writes: int
) -> None:
    key = {"Authorization": f"Bearer {ApiKey.objects.issue('portal', scopes)}"}

    assert anybody.get(url(site), headers=key).status_code == reads
    assert anybody.put(url(site), {"provider": "mqtt"}, headers=key).status_code == writes
