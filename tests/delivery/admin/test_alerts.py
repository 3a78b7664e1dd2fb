"""Alerts in the admin: which are seen, what they lead to, and what people do about them."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from delivery import clocks
from delivery.admin.alerts import AlertAdmin, links
from delivery.models import Alert, AlertNotice, AuditLog
from tests.delivery.admin.conftest import BACKEND, NOON
from tests.delivery.rows import a_site

LIST = "/admin/delivery/alert/"


def an_alert(subject: str, kind: str = "site_failures", site_id: str | None = None, provider: str = "") -> Alert:
    Alert.objects.open_or_repeat(kind, subject, "too much", NOON, cause="<b>", site_id=site_id, provider=provider)
    return Alert.objects.get(kind=kind, subject=subject, closed_at=None)


def shown(client: Client, query: str = "") -> list[str]:
    """Subjects, as the list has them."""
    return re.findall(r'<td class="field-where">([^<]+)</td>', client.get(f"{LIST}?{query}").content.decode())


def do(client: Client, action: str, *alerts: Alert) -> int:
    return client.post(LIST, {"action": action, "_selected_action": [alert.pk for alert in alerts]}).status_code


@pytest.fixture
def tom(technician: User) -> Client:
    client = Client()
    client.force_login(technician, backend=BACKEND)
    return client


def test_open_ones_come_first_also_from_page_to_page(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AlertAdmin, "list_per_page", 2)
    for subject in ("a", "b", "c", "d", "e"):
        an_alert(subject)
    for subject in ("b", "d", "e"):
        Alert.objects.close("site_failures", subject, NOON)

    pages, query = [], ""
    for _ in range(3):
        pages.append(shown(admin, query))
        last = Alert.objects.get(subject=pages[-1][-1])
        query = f"before={last.pk}"

    assert pages == [["c", "a"], ["e", "d"], ["b"]]
    assert shown(admin, "is=open") == ["c", "a"]


def test_a_technician_sees_the_alerts_of_their_sites_and_of_all(technician: User, tom: Client) -> None:
    a_site("mine").technicians.add(technician)
    an_alert("mine", site_id="mine")
    an_alert("theirs", site_id=a_site("theirs").site_id)
    an_alert("fcm/default", "breaker_open")

    assert shown(tom) == ["fcm/default", "mine"]


def test_somebody_takes_an_alert_and_nobody_else_does(admin: Client, tom: Client) -> None:
    alert = an_alert("fcm/default", "breaker_open")

    do(admin, "take", alert)
    do(tom, "take", alert)

    assert Alert.objects.get().taken_by == "person:ada"
    assert list(AuditLog.objects.values_list("actor", "action", "object_id")) == [
        ("person:ada", "took an alert", "breaker_open fcm/default")
    ]


def test_an_alert_is_muted_until_a_time_and_unmuted(admin: Client) -> None:
    alert = an_alert("fcm/default", "breaker_open")

    do(admin, "mute_day", alert)

    muted = Alert.objects.get()
    assert muted.muted_until is not None
    assert abs(muted.muted_until - clocks.db_now() - timedelta(days=1)) < timedelta(minutes=1)
    do(admin, "unmute", alert)
    do(admin, "unmute", alert)
    assert Alert.objects.get().muted_until is None
    assert list(AuditLog.objects.order_by("id").values_list("action", flat=True)) == [
        "muted an alert", "unmuted an alert"
    ]  # fmt: skip


@pytest.mark.parametrize("action", ["take", "mute_hour", "unmute"])
def test_who_may_only_look_changes_nothing(technician: User, tom: Client, action: str) -> None:
    alert = an_alert("fcm/default", "breaker_open")
    technician.user_permissions.remove(Permission.objects.get(codename="change_alert"))

    do(tom, action, alert)

    assert not AuditLog.objects.exists()


def test_nobody_acts_on_alerts_of_foreign_sites(tom: Client) -> None:
    alert = an_alert("theirs", site_id=a_site("theirs").site_id)

    do(tom, "take", alert)

    assert Alert.objects.get().taken_by == ""


def test_the_page_says_how_telling_went_and_escapes_all(admin: Client) -> None:
    alert = an_alert("fcm/default", "breaker_open")
    AlertNotice.objects.create(alert=alert, event="opened", destination="json-1f0c5a3b", due_at=NOON, told_at=NOON)
    AlertNotice.objects.create(
        alert=alert, event="opened", destination="e-mail", due_at=NOON, tries=3, error="the mail server answered 554"
    )

    page = admin.get(reverse("admin:delivery_alert_change", args=[alert.pk])).content.decode()

    assert "e-mail opened: – (3 tries; the mail server answered 554)" in page
    assert "json-1f0c5a3b opened: <time" in page
    assert "&lt;b&gt;" in page
    assert "1 of 2" in admin.get(LIST).content.decode()
    assert 'name="_save"' not in page


@pytest.mark.parametrize(
    ("kind", "subject", "about", "path"),
    [
        (
            "site_failures",
            "s 1",
            {"site_id": "s 1"},
            "pushnotificationlog/?site=s+1&state=missed&from=2026-07-01T10%3A00Z",
        ),
        (
            "breaker_open",
            "fcm/default",
            {"provider": "fcm"},
            "pushnotificationlog/?under=fcm&state=missed&from=2026-07-01T10%3A00Z",
        ),
        (
            "slow_provider",
            "mqtt",
            {"provider": "mqtt"},
            "pushnotificationlog/?under=mqtt&state=measured&from=2026-07-01T10%3A00Z",
        ),
        ("guard_tripped", "fcm/other", {"provider": "fcm"}, "channel/?provider__exact=fcm"),
        ("zombies", "s 1", {"site_id": "s 1"}, "/analytics/zombie/?standing=1&site__exact=s+1"),
    ],
)
def test_an_alert_leads_to_what_it_is_about(
    db: None, kind: str, subject: str, about: dict[str, str], path: str
) -> None:
    if "site_id" in about:
        a_site(about["site_id"])

    assert links(an_alert(subject, kind, **about))[0][1].endswith(path)


def test_a_sweep_that_is_late_leads_nowhere(db: None) -> None:
    assert links(an_alert("delivery.expire", "sweep_late")) == []
