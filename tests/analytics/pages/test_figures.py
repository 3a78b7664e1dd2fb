"""Every figure is true, leads to its messages, and parts sum to the whole."""

import csv
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from analytics import rollups
from analytics.models import RollupState
from delivery import clocks
from delivery.models import PushNotificationLog, Site
from tests.analytics import record
from tests.analytics.pages.conftest import figures, listed, shown, signed_in

STATES = ("delivered", "late", "failed", "expired", "cancelled", "skipped", "open")
ROW = re.compile(r"<tr[^>]*>(.*?)</tr>", re.DOTALL)


def table(client: Client, name: str, query: str = "") -> list[dict[str, str]]:
    answer: Any = client.get(f"/admin/tables/{name}.csv?{query}")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))


@pytest.mark.parametrize("query", ["", "?provider=mqtt&show=volume&hours=2"])
def test_each_figure_of_the_first_page_leads_to_exactly_its_messages(admin: Client, day: None, query: str) -> None:
    found = set(figures(shown(admin, f"/admin/{query}")))

    assert len(found) > 20
    assert {(url, listed(admin, url)) for url, _ in found} == found


def test_each_figure_of_a_site_leads_to_exactly_its_messages(admin: Client, sites: list[Site]) -> None:
    found = set(figures(shown(admin, f"/admin/sites/{sites[0].site_id}/")))

    assert len(found) > 20
    assert {(url, listed(admin, url)) for url, _ in found} == found


def test_each_figure_of_a_provider_leads_to_exactly_its_messages(admin: Client, day: None) -> None:
    page = shown(admin, "/admin/providers/fcm/")
    found = set(figures(page))

    assert any("refused=" in url for url, _ in found)
    assert {(url, listed(admin, url)) for url, _ in found} == found


def test_a_technician_gets_the_figures_of_their_sites_and_the_messages_behind_them(
    technician: User, sites: list[Site]
) -> None:
    sites[0].technicians.add(technician)
    client = signed_in(technician)
    page = shown(client, "/admin/")

    found = set(figures(page))

    assert sites[1].site_id not in page
    assert max(count for _, count in found) == PushNotificationLog.objects.filter(site=sites[0]).count()
    assert {(url, listed(client, url)) for url, _ in found} == found


def test_the_states_of_each_provider_sum_to_what_was_ordered(admin: Client, day: None) -> None:
    lines = table(admin, "providers")

    assert len(lines) == len(record.PROVIDERS) + 1
    for line in lines:
        assert int(line["ordered"]) == sum(int(line[state]) for state in STATES)


def test_the_hours_of_all_sites_sum_to_what_was_ordered(admin: Client, day: None) -> None:
    lines = table(admin, "heatmap")

    assert sum(int(line["ordered"]) for line in lines) == PushNotificationLog.objects.count()


def test_verdicts_and_what_is_not_judged_sum_to_what_was_not_in_time(admin: Client, day: None) -> None:
    PushNotificationLog.objects.filter(status="expired").update(verdict="device_offline")
    RollupState.objects.update(dirty=True)
    rollups.roll_up()

    lines = table(admin, "reasons")

    missed = PushNotificationLog.objects.filter(status__in=["failed", "expired", "cancelled"]).count()
    late = PushNotificationLog.objects.filter(status="delivered", expired_at__isnull=False).count()
    assert lines[0]["verdict"] == "device_offline" or lines[1]["verdict"] == "device_offline"
    assert sum(int(line["messages"]) for line in lines) == missed + late


def test_an_hour_that_lost_much_is_marked_and_one_without_messages_is_hatched(admin: Client) -> None:
    site = Site.objects.create(site_id="berlin", name="Berlin")
    till, now = record.device(site), clocks.db_now()
    for number in range(10):
        record.message(till, now, status="expired" if number < 2 else "delivered", sent_at=now, latency_ms=300)
    rollups.roll_up()

    page = shown(admin, "/admin/")

    assert page.count('class="lost" d="M24 0') == 1
    assert page.count('<rect class="none" x=') == 23
    assert "p95 300 ms, delivery rate 80.0 %, not delivered 20.0 %" in page


def test_a_name_from_outside_is_only_text(admin: Client) -> None:
    site = Site.objects.create(site_id="x&y=1", name="<script>alert(1)</script>")
    record.message(record.device(site), clocks.db_now())
    rollups.roll_up()

    for url in ("/admin/", "/admin/sites/x&y=1/"):
        assert "<script>alert" not in shown(admin, url)
    assert {listed(admin, url) for url, count in figures(shown(admin, "/admin/sites/x&y=1/")) if count} == {1}


def test_a_table_holds_nothing_that_a_spreadsheet_would_run(admin: Client) -> None:
    site = Site.objects.create(site_id="=1+1", name="Berlin")
    record.message(record.device(site), clocks.db_now())
    rollups.roll_up()

    assert [line["site"] for line in table(admin, "heatmap")] == ["'=1+1"]
