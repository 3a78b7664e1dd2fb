"""Who may see which page, what a bad filter answers, and what empty pages say."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analytics import rollups
from analytics.pages import reading
from delivery.clocks import db_now
from delivery.models import Alert, Site
from tests.analytics import record
from tests.analytics.pages.conftest import shown, signed_in

PAGES = ["/admin/", "/admin/?part=panels", "/admin/sites/berlin/", "/admin/providers/fcm/", "/admin/analytics/zombie/"]
TABLES = ["heatmap", "providers", "fastest", "reasons", "alerts", "zombies"]
INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=\"|javascript:", re.IGNORECASE)


@pytest.fixture
def berlin(db: None) -> Site:
    return Site.objects.create(site_id="berlin", name="Berlin")


@pytest.mark.parametrize("url", [*PAGES, *(f"/admin/tables/{name}.csv" for name in TABLES)])
def test_strangers_are_sent_to_the_login(client: Client, berlin: Site, url: str) -> None:
    assert client.get(url)["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("url", PAGES)
def test_no_page_has_anything_that_its_own_policy_forbids(
    admin: Client, sites: list[Site], berlin: Site, url: str
) -> None:
    answer = admin.get(url)

    assert INLINE.findall(answer.content.decode()) == []
    assert "unsafe" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    "query",
    [
        "hours=0", "hours=x", "hours=99999999", "hours=%00", "hours=%C2%B2", "provider=nobody", "provider=%00",
        "show=%3Cb%3E", "until=never", "until=9999-12-31T23:00Z", "page=-1", "page=",
    ],
)  # fmt: skip
@pytest.mark.parametrize("page", ["/admin/", "/admin/sites/berlin/", "/admin/tables/heatmap.csv"])
def test_a_bad_filter_is_named_and_is_no_error_of_ours(admin: Client, berlin: Site, page: str, query: str) -> None:
    answer = admin.get(f"{page}?{query}")

    assert answer.status_code == 422
    assert f"{query.partition('=')[0]}=" in answer.content.decode()
    assert "<b>" not in answer.content.decode()


@pytest.mark.parametrize(
    "query", ["from=never", "to=x", "state=nonsense", "under=nobody", "refused=fcm/retry/&tried_from=x"]
)
def test_a_bad_filter_of_the_list_leads_to_the_whole_list_and_says_so(admin: Client, query: str) -> None:
    answer = admin.get(f"/admin/delivery/pushnotificationlog/?{query}", follow=True)

    assert answer.status_code == 200
    assert "Here is the list without filters" in answer.content.decode()


@pytest.mark.parametrize("url", ["/admin/sites/nowhere/", "/admin/providers/nobody/", "/admin/tables/nothing.csv"])
def test_a_page_that_is_not_there_is_404(admin: Client, url: str) -> None:
    assert admin.get(url).status_code == 404


def test_a_site_of_others_is_404(technician: User, berlin: Site) -> None:
    client = signed_in(technician)

    assert client.get("/admin/sites/berlin/").status_code == 404
    assert client.get("/admin/tables/heatmap.csv?site=berlin").status_code == 404


def test_whoever_may_not_look_at_messages_sees_no_numbers(db: None, berlin: Site) -> None:
    client = signed_in(User.objects.create_user("eve", is_staff=True))

    assert "may not look at messages" in shown(client, "/admin/")
    assert client.get("/admin/providers/fcm/").status_code == 403
    assert client.get("/admin/tables/providers.csv").status_code == 403


def test_alerts_of_other_sites_are_not_shown(technician: User, berlin: Site) -> None:
    Site.objects.create(site_id="rome").technicians.add(technician)
    Alert.objects.open_or_repeat("site_failures", "berlin", "Much was lost there", db_now(), site_id="berlin")
    Alert.objects.open_or_repeat("site_failures", "rome", "Much was lost here", db_now(), site_id="rome")

    page = shown(signed_in(technician), "/admin/")

    assert "Much was lost here" in page
    assert "Much was lost there" not in page


def test_an_empty_first_page_says_why_and_what_next(admin: Client) -> None:
    page = shown(admin, "/admin/")

    assert "Nothing has been counted in the last 24 h" in page
    assert "There is no site yet" in page
    assert page.index("A site") < page.index("A device") < page.index("A test push") < page.index("Its ack seen")


def test_empty_lists_say_why(admin: Client) -> None:
    assert "No message yet" in shown(admin, "/admin/delivery/pushnotificationlog/")
    assert "No message fits all of this" in shown(admin, "/admin/delivery/pushnotificationlog/?state=late")
    assert "every device that is online confirms" in shown(admin, "/admin/analytics/zombie/")


def test_the_first_steps_go_when_all_are_done(admin: Client, sites: list[Site]) -> None:
    assert "First steps" not in shown(admin, "/admin/")


def test_each_word_that_needs_it_has_its_meaning_beside_it(admin: Client, sites: list[Site]) -> None:
    page = shown(admin, "/admin/")

    described = re.findall(r'aria-describedby="(term-[^"]+)"', page)
    meanings = re.findall(r'role="tooltip" id="([^"]+)"', page)
    assert described == meanings
    assert len(set(meanings)) == len(meanings) >= 8


def test_every_panel_says_as_of_when(admin: Client, sites: list[Site]) -> None:
    for url in (f"/admin/sites/{sites[0].site_id}/", "/admin/providers/fcm/"):
        page = shown(admin, url)
        panels = page.split('<section class="panel')[1:]

        assert all("as of " in panel.lower() for panel in panels)


def statements(client: Client, url: str) -> int:
    """Of a first look at it: with nothing remembered."""
    reading.CELLS.forget()
    reading.LATENCIES.forget()
    reading.VERDICTS.forget()
    with CaptureQueriesContext(connection) as asked:
        shown(client, url)
    return len(asked)


def test_a_page_costs_a_statement_or_two_for_each_panel_however_many_sites(admin: Client, sites: list[Site]) -> None:
    before = statements(admin, "/admin/")
    Site.objects.bulk_create(Site(site_id=f"more-{number}", name="More") for number in range(15))

    assert statements(admin, "/admin/") == before <= 25


def test_what_is_remembered_of_an_hour_ends_when_it_is_counted_again(admin: Client) -> None:
    till, now = record.device(Site.objects.create(site_id="berlin", name="Berlin")), db_now()
    push = record.message(till, now, status="sent", sent_at=now)
    rollups.roll_up()
    assert "1 messages, p95 –," in shown(admin, "/admin/")
    record.acknowledge(push, db_now(), latency_ms=700)

    rollups.roll_up()

    assert "1 messages, p95 700 ms," in shown(admin, "/admin/")
