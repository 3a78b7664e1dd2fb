"""What the calls below /api/v1/analytics/ answer, to whom."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from delivery.models import ApiKey, Channel, Device, Site
from tests.analytics.api.conftest import rollup
from tests.delivery.rows import a_channel, a_device

BASE = "/api/v1/analytics/"
CALLS = ["push", "heatmap", "providers", "stats", "registrations", "addresses"]
TABLES = ["push", "heatmap", "providers", "registrations", "addresses"]

pytestmark = pytest.mark.django_db


def get(client: APIClient, call: str, **query: str) -> Any:
    response = client.get(BASE + call, query)
    assert response.status_code == 200, response.content
    return response.json()


def table(client: APIClient, call: str, **query: str) -> list[dict[str, str]]:
    response: Any = client.get(BASE + call, {**query, "format": "csv"})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert f'filename="{call}.csv"' in response["Content-Disposition"]
    return list(csv.DictReader(b"".join(response.streaming_content).decode().splitlines()))


def parts_sum(messages: Mapping[str, int]) -> bool:
    states = ("delivered", "late", "failed", "expired", "cancelled", "skipped", "open")
    return messages["ordered"] == sum(messages[state] for state in states)


# --- Who
@pytest.mark.parametrize("call", CALLS)
def test_nobody_reads_numbers_without_proof(anybody: APIClient, call: str) -> None:
    assert anybody.get(BASE + call).status_code == 401


@pytest.mark.parametrize("call", CALLS)
def test_a_device_reads_none(as_device: APIClient, call: str) -> None:
    assert as_device.get(BASE + call).status_code == 401


@pytest.mark.parametrize(("scopes", "status"), [(["analytics:read"], 200), (["messages:read"], 403)])
def test_a_backend_needs_the_scope(anybody: APIClient, scopes: list[str], status: int) -> None:
    key = ApiKey.objects.issue("grafana", scopes)

    response = anybody.get(f"{BASE}push", headers={"Authorization": f"Bearer {key}"})

    assert response.status_code == status


@pytest.mark.usefixtures("counted")
def test_a_technician_sees_the_sites_given_to_them(as_technician: APIClient, as_admin: APIClient) -> None:
    assert get(as_technician, "push")["messages"]["ordered"] == 40
    assert get(as_admin, "push")["messages"]["ordered"] == 80


@pytest.mark.usefixtures("counted")
def test_a_customer_has_no_site_and_sees_nothing(as_customer: APIClient) -> None:
    assert get(as_customer, "push")["messages"]["ordered"] == 0
    assert get(as_customer, "heatmap")["sites"] == []


@pytest.mark.parametrize("call", ["push", "heatmap", "providers", "stats", "registrations", "addresses"])
@pytest.mark.parametrize("site_id", ["hamburg-1", "nowhere", "", "\x00"])
def test_a_foreign_and_an_unknown_site_answer_alike(
    as_technician: APIClient, other_site: Site, call: str, site_id: str
) -> None:
    response = as_technician.get(BASE + call, {"site": site_id})

    assert (response.status_code, response.json()["detail"]) == (404, "Not found")


# --- What was asked wrongly
@pytest.mark.parametrize(
    ("call", "query", "field"),
    [
        ("push", {"from": "yesterday"}, "from"),
        ("push", {"to": "2026-13-01T00:00:00Z"}, "to"),
        ("push", {"from": "0001-01-01T00:00:00Z"}, "from"),
        ("push", {"to": "0001-01-01T00:00:00+23:00"}, "to"),
        ("push", {"from": "9999-12-31T23:59:59Z"}, "from"),
        ("push", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ("push", {"provider": "pigeon"}, "provider"),
        ("push", {"format": "xml"}, "format"),
        ("heatmap", {"from": "2026-01-01T00:00:00Z"}, "from"),
        ("heatmap", {"limit": "0"}, "limit"),
        ("stats", {"days": "0"}, "days"),
        ("stats", {"days": "-1"}, "days"),
        ("stats", {"days": "9999999999999999999"}, "days"),
        ("registrations", {"days": "x"}, "days"),
    ],
)
def test_what_cannot_be_is_named(as_technician: APIClient, call: str, query: dict[str, str], field: str) -> None:
    response = as_technician.get(BASE + call, query)

    assert response.status_code == 422
    assert list(response.json()["detail"]) == [field]


def test_a_plus_sign_that_became_a_space_is_read(as_technician: APIClient) -> None:
    answer = as_technician.get(f"{BASE}push?from=2026-11-01T10:30:00+02:00&to=2026-11-01T12:00:00+00:00").json()

    assert (answer["from"], answer["to"]) == ("2026-11-01T08:00:00+00:00", "2026-11-01T12:00:00+00:00")


# --- Push
@pytest.mark.usefixtures("counted")
def test_push_gives_rates_latency_and_failures(as_technician: APIClient) -> None:
    found = get(as_technician, "push", provider="fcm", site="berlin-1")

    assert parts_sum(found["messages"])
    assert found["messages"]["delivered"] == 14
    rates = {name: round(found[name], 4) for name in found if name.endswith("_rate")}
    assert rates == {
        "delivery_rate": round(14 / 17, 4), "success_rate": 0.7, "fallback_rate": round(2 / 17, 4),
        "error_rate": 0.15, "open_rate": 0.2, "click_rate": round(1 / 15, 4),
    }  # fmt: skip
    assert found["latency_ms"] == {"p50": 700, "p95": 1400, "p99": 1400, "mean": 750, "count": 14}
    assert found["times_ms"]["queue"]["p95"] == 5
    assert found["failures"] == {"rejected": 1, "retry": 2}
    assert found["verdicts"] == {"cancelled": 1, "too_late": 1, "uplink_down": 1}
    assert found["not_judged"] == 1
    assert found["attempts"]["attempted"] == found["attempts"]["accepted"] + sum(found["failures"].values())


def test_no_messages_have_no_rates(as_technician: APIClient) -> None:
    found = get(as_technician, "push")

    assert (found["delivery_rate"], found["latency_ms"]["p95"], found["as_of"]) == (None, None, None)


@pytest.mark.usefixtures("counted")
def test_a_period_takes_whole_hours(as_admin: APIClient, present: datetime) -> None:
    hour = {"from": (present - timedelta(minutes=90)).isoformat(), "to": (present - timedelta(minutes=61)).isoformat()}

    assert get(as_admin, "push", **hour)["messages"]["ordered"] == 20
    assert get(as_admin, "push", **hour, provider="fcm")["messages"]["ordered"] == 0


# --- Heatmap
@pytest.mark.usefixtures("counted")
def test_the_heatmap_has_a_cell_for_each_hour_and_none_where_nothing_was_ordered(
    as_technician: APIClient, present: datetime
) -> None:
    found = get(as_technician, "heatmap")

    [row] = found["sites"]
    assert (row["site_id"], len(row["cells"]), len(found["hours"])) == ("berlin-1", 24, 24)
    assert [cell is not None for cell in row["cells"]] == [False] * 21 + [True, False, True]
    last = row["cells"][-1]
    assert parts_sum(last["messages"])
    assert (last["hour"], last["p95_ms"]) == (present.isoformat(), 1400)
    assert (last["not_delivered"], last["marked"]) == (2 / 17, True)


def test_the_heatmap_goes_on_with_the_next_sites(as_admin: APIClient, site: Site, other_site: Site) -> None:
    first = get(as_admin, "heatmap", limit="1")

    second = as_admin.get(first["next"]).json()

    assert [page["sites"][0]["site_id"] for page in (first, second)] == ["berlin-1", "hamburg-1"]
    assert second["next"] is None


# --- Providers
def test_providers_are_ranked_and_say_why(as_technician: APIClient, site: Site, present: datetime) -> None:
    rollup(site, present, "fcm", ordered=105, handed_over=100, delivered=100)
    rollup(site, present, "mqtt", ordered=85, handed_over=100, delivered=80)
    rollup(site, present, "wns", ordered=8, handed_over=3, delivered=3)
    rollup(site, present, "inbox", ordered=105, handed_over=100, delivered=100)

    found = get(as_technician, "providers", site="berlin-1")

    assert found["fastest"] == "fcm"
    assert [(row["provider"], row["rank"]) for row in found["providers"]] == [
        ("fcm", 1), ("mqtt", 2), ("wns", None), ("inbox", None),
    ]  # fmt: skip
    assert "not enough data" in found["providers"][2]["why"]
    assert all(parts_sum(row["messages"]) for row in found["providers"])


# --- Stats
def test_stats_have_exactly_their_keys_and_zeros_where_there_is_nothing(as_technician: APIClient) -> None:
    assert get(as_technician, "stats", days="7") == {
        "total_pushes": 0, "sent_pushes": 0, "failed_pushes": 0, "delivered_pushes": 0, "delivery_rate": 0.0,
        "avg_delivery_time": 0.0,
    }  # fmt: skip


@pytest.mark.usefixtures("counted")
def test_the_parts_of_stats_sum_to_their_total(as_technician: APIClient) -> None:
    found = get(as_technician, "stats")

    assert found["total_pushes"] == 36
    assert found["sent_pushes"] + found["failed_pushes"] + found["delivered_pushes"] == 36
    assert (found["delivery_rate"], found["avg_delivery_time"]) == (82.35, 0.75)


# --- Addresses
def registered(device: Device, provider: str, now: datetime, **ages_days: int) -> Channel:
    moments = {name: now - timedelta(days=days) for name, days in ages_days.items()}
    channel = a_channel(device, provider)
    Channel.objects.filter(pk=channel.pk).update(**moments)
    return channel


def test_registrations_and_losses_stand_on_their_days(as_technician: APIClient, site: Site) -> None:
    now, till = datetime.now(UTC), a_device(site=site)
    registered(till, "fcm", now, created_at=2)
    registered(till, "mqtt", now, created_at=40)
    gone = registered(till, "wns", now, created_at=2, disabled_at=1)
    Channel.objects.filter(pk=gone.pk).update(state="disabled", disabled_code="UNREGISTERED")
    a_channel(a_device("elsewhere"), "fcm")

    found = get(as_technician, "registrations", days="3")

    assert (found["registered"], found["lost"]) == (2, 1)
    assert [(day["registered"], day["lost"]) for day in found["days"]] == [(2, 0), (0, 1), (0, 0)]


def test_addresses_are_told_apart_by_how_long_they_carried_nothing(as_technician: APIClient, site: Site) -> None:
    now = datetime.now(UTC)
    for number, days in enumerate([1, 29, 31, 61, 91, 400]):
        registered(a_device(f"till-{number}", site=site), "fcm", now, registered_at=500, last_used_at=days)
    registered(a_device("till-9", site=site), "fcm", now, registered_at=45)
    a_device("without", site=site)

    found = get(as_technician, "addresses")

    assert found["providers"] == [
        {"provider": "fcm", "active": 7, "under_30_days": 2, "from_30_days": 2, "from_60_days": 1, "from_90_days": 2}
    ]
    assert (found["devices"], found["reachable"], found["reachability"]) == (8, 7, 7 / 8)


# --- Tables
@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(("call", "lines"), [("push", 2), ("heatmap", 2), ("providers", 2), ("registrations", 30)])
def test_each_table_comes_as_csv(as_technician: APIClient, call: str, lines: int) -> None:
    assert len(table(as_technician, call)) == lines


@pytest.mark.usefixtures("counted")
def test_the_lines_of_a_table_sum_to_the_answer(as_admin: APIClient) -> None:
    lines, answer = table(as_admin, "push"), get(as_admin, "push")

    assert sum(int(line["ordered"]) for line in lines) == answer["messages"]["ordered"] == 80
    assert all(parts_sum({key: int(value) for key, value in line.items() if value.isdigit()}) for line in lines)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(as_admin: APIClient, present: datetime, start: str) -> None:
    rollup(Site.objects.create(site_id=f"{start}cmd|' /C calc'!A0", name="x"), present)

    response: Any = as_admin.get(f"{BASE}push", {"format": "csv"})

    assert f"'{start}cmd|" in b"".join(response.streaming_content).decode()


def test_a_wrong_filter_of_a_table_is_refused_before_it_begins(as_technician: APIClient) -> None:
    for call in TABLES:
        assert as_technician.get(BASE + call, {"format": "csv", "site": "nowhere"}).status_code == 404
