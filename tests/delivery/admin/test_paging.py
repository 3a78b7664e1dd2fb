import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from delivery.admin import paging
from delivery.models import AuditLog, Device, PushNotificationLog, Site, setwise

PAGE = "/admin/delivery/auditlog/"


@pytest.fixture
def entries(db: None) -> list[str]:
    """The object ids of 120 entries, newest first."""
    names = [f"object-{number:03d}" for number in range(120)]
    AuditLog.objects.bulk_create(
        AuditLog(actor="system", action="made", object_type="thing", object_id=name, at=datetime.now(UTC))
        for name in names
    )
    return names[::-1]


def read(client: Client, address: str) -> tuple[list[str], str | None]:
    """The rows of one page, and where the next one is."""
    page = client.get(address).content.decode()
    older = re.search(r'href="([^"]+)">Older', page)
    return re.findall(r"object-\d{3}", page), older and older[1]


def test_the_pages_together_hold_every_row_once(admin: Client, entries: list[str]) -> None:
    rows, query = read(admin, PAGE)
    while query:
        more, query = read(admin, PAGE + query)
        rows += more

    assert list(dict.fromkeys(rows)) == entries
    assert len(rows) == len(entries)


def test_rows_written_meanwhile_move_no_page(admin: Client, entries: list[str]) -> None:
    _, query = read(admin, PAGE)
    AuditLog.objects.create(actor="system", action="made", object_type="thing", object_id="object-999")

    rows, _ = read(admin, PAGE + str(query))

    assert rows[0] == entries[50]


def test_above_the_limit_the_count_is_not_exact(
    admin: Client, entries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNT_TO", 100)

    assert "100+ audit logs" in admin.get(PAGE).content.decode()


def test_a_count_that_takes_too_long_says_only_that_there_is_more(
    admin: Client, entries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setwise, "within_ms", lambda *_: None)

    assert "Over 50 audit logs" in admin.get(PAGE).content.decode()


def test_the_pages_of_a_site_together_hold_its_messages_once_the_newest_first(admin: Client) -> None:
    site, now = Site.objects.create(site_id="s", name="S"), datetime.now(UTC)
    devices = [Device.objects.create(device_id=f"object-{number:03d}", site=site) for number in range(60)]
    PushNotificationLog.objects.bulk_create(
        PushNotificationLog(
            device=device, site=site, provider="fcm", priority=2, expires_at=now,
            created_at=now - timedelta(minutes=number // 20),
        )
        for number, device in enumerate(devices)
    )  # fmt: skip

    rows, query = read(admin, "/admin/delivery/pushnotificationlog/?site=s")
    more, _ = read(admin, f"/admin/delivery/pushnotificationlog/{unescape(str(query))}")

    wanted = [f"object-{minute + number:03d}" for minute in (0, 20, 40) for number in reversed(range(20))]
    assert list(dict.fromkeys([*rows, *more])) == wanted


def test_a_list_asks_the_same_number_of_questions_however_long_it_is(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    Device.objects.bulk_create(Device(device_id=f"till-{number}") for number in range(50))

    with django_assert_max_num_queries(12):
        admin.get("/admin/delivery/device/")
