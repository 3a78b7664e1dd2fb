"""Pinning a provider on a site's page."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from delivery.models import AuditLog, Channel, Device, Site, SitePin
from tests.delivery.admin.conftest import BACKEND
from tests.delivery.rows import a_channel, a_site


@pytest.fixture
def mqtt(till: Device, channel: Channel) -> Channel:
    return a_channel(till, "mqtt", rank=1)


def act(client: Client, site: Site, **form: str) -> tuple[int, str]:
    answer = client.post(reverse("admin:delivery_site_pin", args=[site.pk]), form)
    return answer.status_code, answer.headers.get("Location", "")


def test_a_pin_is_set_and_taken_back(admin: Client, site: Site, mqtt: Channel) -> None:
    page = reverse("admin:delivery_site_change", args=[site.pk])

    assert act(admin, site, provider="mqtt", suggested="1") == (302, page)

    pin, mqtt.rank = SitePin.objects.get(), Channel.objects.get(pk=mqtt.pk).rank
    assert (pin.provider, pin.suggested, pin.pinned_by, mqtt.rank) == ("mqtt", True, "person:ada", 0)
    assert "MQTT, by person:ada at <time" in admin.get(page).content.decode()

    act(admin, site, unpin="1")

    assert not SitePin.objects.exists()
    assert AuditLog.objects.filter(object_id=site.site_id).count() == 2


@pytest.mark.parametrize(
    ("wanted", "leads"), [("/admin/?x=1", True), ("//evil.example/", False), ("https://x/", False)]
)
def test_it_leads_back_to_pages_of_ours_alone(
    admin: Client, site: Site, mqtt: Channel, wanted: str, leads: bool
) -> None:
    assert (act(admin, site, provider="mqtt", next=wanted)[1] == wanted) is leads


@pytest.mark.usefixtures("mqtt")
def test_only_a_technician_of_the_site_pins_and_only_by_post(technician: User, site: Site, admin: Client) -> None:
    tom = Client()
    tom.force_login(technician, backend=BACKEND)
    mine = a_site("mine")
    mine.technicians.add(technician)

    assert act(tom, site, provider="mqtt")[0] == 404
    assert act(tom, mine, provider="mqtt")[0] == 302
    assert admin.get(reverse("admin:delivery_site_pin", args=[site.pk])).status_code == 404
    technician.user_permissions.clear()
    assert act(tom, mine, provider="mqtt")[0] == 403
    assert not SitePin.objects.exists()


def test_a_rank_that_a_person_gives_is_the_channels_own(admin: Client, site: Site, till: Device, mqtt: Channel) -> None:
    act(admin, site, provider="mqtt")
    fcm = Channel.objects.get(device=till, provider="fcm")
    form = {
        "site": site.site_id, "name": "Till 7", "owner": "", "segment": "", "channels-TOTAL_FORMS": "2",
        "channels-INITIAL_FORMS": "2", "channels-0-id": mqtt.pk, "channels-0-device": till.pk, "channels-0-rank": "0",
        "channels-1-id": fcm.pk, "channels-1-device": till.pk, "channels-1-rank": "9",
    }  # fmt: skip

    admin.post(reverse("admin:delivery_device_change", args=[till.pk]), form)
    act(admin, site, unpin="1")

    assert set(Channel.objects.values_list("provider", "rank", "own_rank")) == {("mqtt", 1, None), ("fcm", 9, None)}


def test_a_device_that_moves_follows_the_pin_of_its_new_site(
    admin: Client, site: Site, till: Device, mqtt: Channel
) -> None:
    act(admin, site, provider="mqtt")
    form = {
        "site": a_site("elsewhere").site_id, "name": "Till 7", "owner": "", "segment": "", "channels-TOTAL_FORMS": "0",
        "channels-INITIAL_FORMS": "0",
    }  # fmt: skip

    answer = admin.post(reverse("admin:delivery_device_change", args=[till.pk]), form)

    assert answer.status_code == 302, answer.content.decode()
    assert set(Channel.objects.values_list("provider", "rank", "own_rank")) == {("mqtt", 1, None), ("fcm", 0, None)}
