"""`/api/v1/analytics/alerts` and `/zombies`: what somebody should look at, and who may see it."""

import csv
from typing import Any

import pytest
from rest_framework.test import APIClient

from analytics.models import Rung, Zombie
from delivery import clocks
from delivery.models import Alert, Device, Site
from tests.delivery.rows import a_channel, a_device

BASE = "/api/v1/analytics/"
pytestmark = pytest.mark.django_db


def get(client: APIClient, call: str, **query: str) -> list[dict[str, Any]]:
    response = client.get(BASE + call, query)
    assert response.status_code == 200, response.content
    listed: list[dict[str, Any]] = response.json()[call]
    return listed


def an_alert(subject: str, site: Site | None = None, provider: str = "") -> None:
    Alert.objects.open_or_repeat(
        "site_failures", subject, "=too much", clocks.db_now(), site_id=site.site_id if site else None,
        provider=provider,
    )  # fmt: skip


def a_zombie(device: Device) -> None:
    now = clocks.db_now()
    Zombie.objects.create(
        device=device, channel=a_channel(device, "fcm"), site=device.site, provider="fcm", found_at=now, last_seen=now,
        pushes=3, first_push_at=now, rung=Rung.ASKED, rung_at=now, next_at=now,
    )  # fmt: skip


@pytest.fixture
def record(site: Site, other_site: Site, device: Device) -> None:
    an_alert("mine", site)
    an_alert("theirs", other_site)
    an_alert("all", provider="fcm")
    a_zombie(device)
    a_zombie(a_device("foreign", site=other_site))


@pytest.mark.usefixtures("record")
def test_a_technician_sees_their_sites_and_what_concerns_all(as_technician: APIClient) -> None:
    assert [alert["subject"] for alert in get(as_technician, "alerts")] == ["mine", "all"]
    assert [zombie["device_id"] for zombie in get(as_technician, "zombies")] == ["till-1"]


@pytest.mark.usefixtures("record")
def test_a_customer_sees_none(as_customer: APIClient) -> None:
    assert (get(as_customer, "alerts"), get(as_customer, "zombies")) == ([], [])


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize("call", ["alerts", "zombies"])
def test_nobody_sees_any_without_proof(anybody: APIClient, as_device: APIClient, call: str) -> None:
    assert (anybody.get(BASE + call).status_code, as_device.get(BASE + call).status_code) == (401, 401)


@pytest.mark.usefixtures("record")
def test_site_provider_and_state_choose(as_admin: APIClient, site: Site) -> None:
    Alert.objects.close("site_failures", "theirs", clocks.db_now())

    assert [alert["subject"] for alert in get(as_admin, "alerts")] == ["mine", "all"]
    assert [alert["subject"] for alert in get(as_admin, "alerts", state="closed")] == ["theirs"]
    assert len(get(as_admin, "alerts", state="all")) == 3
    assert [alert["subject"] for alert in get(as_admin, "alerts", provider="fcm")] == ["all"]
    assert [alert["subject"] for alert in get(as_admin, "alerts", site=site.site_id)] == ["mine"]
    assert [zombie["device_id"] for zombie in get(as_admin, "zombies", site=site.site_id)] == ["till-1"]
    assert get(as_admin, "zombies", provider="mqtt") == []


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize("call", ["alerts", "zombies"])
def test_what_cannot_be_is_named(as_technician: APIClient, other_site: Site, call: str) -> None:
    assert as_technician.get(BASE + call, {"state": "ajar"}).status_code == 422
    assert as_technician.get(BASE + call, {"site": other_site.site_id}).status_code == 404


@pytest.mark.usefixtures("record")
def test_they_come_by_the_page(as_admin: APIClient) -> None:
    first = as_admin.get(f"{BASE}alerts", {"limit": "2"}).json()

    assert [alert["subject"] for alert in first["alerts"]] == ["mine", "theirs"]
    assert [alert["subject"] for alert in as_admin.get(first["next"]).json()["alerts"]] == ["all"]


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize(("call", "lines"), [("alerts", 2), ("zombies", 1)])
def test_each_comes_as_csv_without_formulas(as_technician: APIClient, call: str, lines: int) -> None:
    response: Any = as_technician.get(BASE + call, {"format": "csv"})

    table = list(csv.DictReader(b"".join(response.streaming_content).decode().splitlines()))
    assert len(table) == lines
    assert set(table[0]) == set(get(as_technician, call)[0])
    assert table[0].get("text", "'=too much") == "'=too much"
