import pytest
from django.contrib.auth.models import User
from django.test import Client

from analytics import rollups
from delivery.clocks import db_now
from tests.analytics import record


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_an_empty_first_page_says_why(page: Client) -> None:
    assert "Nothing has been counted yet" in page.get("/admin/").content.decode()


def test_the_first_page_shows_what_the_log_holds(page: Client) -> None:
    now, till = db_now(), record.device()
    for latency_ms in [*[400] * 19, 90_000]:
        record.message(till, now, status="delivered", sent_at=now, latency_ms=latency_ms)
    record.message(till, now, status="expired", sent_at=now)
    rollups.roll_up()

    shown = page.get("/admin/").content.decode()

    assert ">21</a>" in shown
    assert "95.2%" in shown
    assert " ms<" in shown
