"""What holds on every page, whatever it shows."""

import re

import pytest
from django.contrib import admin as stock
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from delivery.admin.paging import NewestFirst
from delivery.models import Device, Site
from delivery.models.keys import key_hash
from tests.delivery.admin.conftest import ADDRESS, BACKEND, KEY

INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=\"|javascript:", re.IGNORECASE)
OURS = [model for model in stock.site._registry if model._meta.app_label in ("delivery", "auth")]
LISTS = [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in OURS]
SEEN_BY_SITE = (
    *("site", "device", "channel", "pushnotificationlog", "connectivity", "job"),
    *("devicecommand", "devicereport", "devicejob"),
)
pytestmark = pytest.mark.usefixtures("everything")


def pages() -> list[str]:
    """Every list, every form to add, and the page of every row."""
    found = [reverse("admin:index"), *LISTS]
    for model in OURS:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found += [reverse(f"{name}_change", args=[row.pk]) for row in model._default_manager.all()[:3]]
    return [*found, reverse("admin:delivery_site_add"), reverse("admin:delivery_apikey_add")]


def test_every_page_opens(admin: Client) -> None:
    assert {page: admin.get(page).status_code for page in pages()} == dict.fromkeys(pages(), 200)


def test_no_page_has_anything_that_its_own_policy_forbids(admin: Client) -> None:
    for page in pages():
        answer = admin.get(page)

        assert INLINE.findall(answer.content.decode()) == [], page
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert "default-src 'self'" in answer["Content-Security-Policy"]


def test_no_page_shows_an_address_or_what_a_key_is_kept_as(admin: Client) -> None:
    for page in pages():
        shown = admin.get(page).content.decode()

        assert ADDRESS not in shown, page
        assert key_hash(KEY) not in shown, page


@pytest.mark.parametrize("page", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "q=not-a-uuid", "q=%00", "q=%ED%A0%80", "q=%27%22%3C", "before=x", "before=99999999999999999999", "o=1.2",
        "e=1", "status__exact=%00", "provider__exact=nobody", "state=nonsense", "p=-1", "nonsense=1", "device=%00",
        "job=x",
    ],
)  # fmt: skip
def test_no_query_is_an_error_of_ours(admin: Client, page: str, query: str) -> None:
    assert admin.get(f"{page}?{query}").status_code in (200, 302)


@pytest.mark.parametrize("object_id", ["0", "x", "_00", "99999999999999999999", "..", "1/2"])
def test_a_row_that_is_not_there_leads_back(admin: Client, object_id: str) -> None:
    for page in LISTS:
        assert admin.get(f"{page}{object_id}/change/").status_code in (302, 404)


def test_strangers_are_sent_to_the_login(client: Client) -> None:
    for page in pages():
        assert client.get(page)["Location"].startswith("/admin/login/")


def test_a_technician_sees_nothing_of_other_sites(technician: User) -> None:
    client = Client()
    client.force_login(technician, backend=BACKEND)

    for model in OURS:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        if model._meta.model_name not in SEEN_BY_SITE:
            continue
        row = model._default_manager.get()

        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 302
        assert "0 " in client.get(reverse(f"{name}_changelist")).content.decode().split("Pages")[1][:200]


def test_a_technician_cannot_move_a_device_to_another_site(technician: User, site: Site, till: Device) -> None:
    site.technicians.add(technician)
    Site.objects.create(site_id="elsewhere")
    client = Client()
    client.force_login(technician, backend=BACKEND)
    form = {"name": "Till 8", "site": "elsewhere", "channels-TOTAL_FORMS": "0", "channels-INITIAL_FORMS": "0"}

    client.post(reverse("admin:delivery_device_change", args=[till.pk]), form)

    till.refresh_from_db()
    assert (till.name, till.site_id) == ("Till 8", "berlin-mitte")


def test_long_lists_are_never_counted_in_full(admin: Client) -> None:
    for model, page in stock.site._registry.items():
        if model._meta.app_label == "delivery" and model._meta.model_name not in ("site", "apikey"):
            assert issubclass(page.get_changelist(None), NewestFirst)  # type: ignore[arg-type]
            assert page.date_hierarchy is None
