"""Telling people of alerts, over a real mail server and a real listener."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.mail.backends.smtp import EmailBackend
from pytest_django import Settings

from analytics import destinations, telling
from delivery import clocks
from delivery.models import Alert, AlertNotice
from homepot import logs
from tests.analytics.listeners import JsonService, Mailbox, json_service, mail_server
from tests.processes import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def mail_port() -> int:
    return free_port()


@pytest.fixture
def mailbox(mail_port: int, settings: Settings) -> Iterator[Mailbox]:
    settings.EMAIL_BACKEND = f"{EmailBackend.__module__}.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", mail_port, 2
    settings.ALERT_EMAILS = ["ops@example.org", "night@example.org"]
    with mail_server(mail_port) as box:
        yield box


@pytest.fixture
def service(settings: Settings) -> Iterator[JsonService]:
    with json_service() as listening:
        settings.ALERT_URLS = [listening.address]
        yield listening


def opened(subject: str = "berlin-1", kind: str = "site_failures") -> Alert:
    Alert.objects.open_or_repeat(
        kind, subject, f"At {subject} 40 of 200 messages were missed.", clocks.db_now(), cause="fcm is blocked there."
    )
    return Alert.objects.get(subject=subject, closed_at=None)


def close(alert: Alert) -> None:
    Alert.objects.close(alert.kind, alert.subject, clocks.db_now())


def make_due() -> None:
    AlertNotice.objects.update(due_at=clocks.db_now() - timedelta(seconds=1))


def test_a_letter_says_what_since_when_why_and_where_to_look(mailbox: Mailbox, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://push.example.org"
    alert = opened()

    telling.tell_due()

    [mail] = mailbox.mails
    assert mailbox.envelopes[0].rcpt_tos == ["ops@example.org", "night@example.org"]
    assert mail["Subject"] == "HOMEPOT alert: site_failures berlin-1"
    assert mail.get_content().splitlines() == [
        "ALERT site_failures: berlin-1",
        "At berlin-1 40 of 200 messages were missed.",
        f"Since {alert.opened_at:%Y-%m-%d %H:%M} UTC.",
        "Most likely: fcm is blocked there.",
        f"https://push.example.org/admin/delivery/alert/{alert.pk}/change/",
    ]


def test_each_destination_is_told_once_of_the_opening_and_once_of_the_end(
    mailbox: Mailbox, service: JsonService
) -> None:
    alert = opened()

    for _ in range(2):
        telling.tell_due()
    opened()
    telling.tell_due()
    close(alert)
    for _ in range(2):
        telling.tell_due()

    assert [mail["Subject"].split()[1] for mail in mailbox.mails] == ["alert:", "closed:"]
    assert [(told["title"].split()[1], told["type"]) for told in service.told] == [
        ("alert:", "warning"), ("closed:", "success")
    ]  # fmt: skip


def test_several_at_once_come_in_one_letter(service: JsonService) -> None:
    close(opened("a"))
    opened("b")

    telling.tell_due()
    telling.tell_due()

    assert [told["title"] for told in service.told] == [
        "HOMEPOT 2 alerts opened, 0 closed", "HOMEPOT closed: site_failures a"
    ]  # fmt: skip


@pytest.mark.parametrize("refusal", ["554 no", "421 later"])
def test_what_a_mail_server_refuses_is_told_again_later(mailbox: Mailbox, refusal: str) -> None:
    mailbox.refuses = refusal
    opened()
    telling.tell_due()

    notice = AlertNotice.objects.get()
    wait_s = (notice.due_at - clocks.db_now()).total_seconds()
    assert (notice.told_at, notice.error) == (None, f"the mail server answered {refusal[:3]}")
    assert 25 < wait_s <= 30

    mailbox.refuses = ""
    make_due()
    telling.tell_due()

    assert len(mailbox.mails) == 1
    assert AlertNotice.objects.get().error == ""


def test_a_service_that_fails_holds_up_no_other_and_is_told_later(mailbox: Mailbox, service: JsonService) -> None:
    service.status = 503
    alert = opened()
    telling.tell_due()
    close(alert)
    telling.tell_due()

    failed = AlertNotice.objects.get(destination__startswith="json-", event="opened")
    assert (failed.error, failed.tries) == ("the service answered 503", 1)
    assert (len(mailbox.mails), service.told) == (2, [])

    service.status = 200
    make_due()
    for _ in range(2):
        telling.tell_due()

    assert [told["type"] for told in service.told] == ["warning", "success"]


def test_the_waits_grow_up_to_an_hour_and_end_at_last(service: JsonService) -> None:
    service.status = 500
    opened()
    telling.tell_due()
    waits_s = []
    for tries in (1, 5, 30):
        AlertNotice.objects.update(tries=tries)
        make_due()
        telling.tell_due()
        waits_s.append(round((AlertNotice.objects.get().due_at - clocks.db_now()).total_seconds(), -1))

    assert waits_s == [60, 960, 3600]

    AlertNotice.objects.update(tries=telling.MOST_TRIES - 1)
    make_due()
    telling.tell_due()

    assert AlertNotice.objects.get().given_up_at is not None


def test_what_a_dead_process_had_begun_is_told_after_its_lease(service: JsonService) -> None:
    opened()
    telling.note_due([destinations.name_of(service.address)], clocks.db_now())
    notice = AlertNotice.objects.get()
    AlertNotice.objects.claim(notice.pk, now=clocks.db_now(), until=clocks.db_now() + telling.LEASE)

    telling.tell_due()
    assert service.told == []
    make_due()
    telling.tell_due()

    assert len(service.told) == 1


def test_a_muted_alert_and_the_next_of_its_kind_are_told_to_nobody(service: JsonService) -> None:
    alert = opened()
    Alert.objects.standing().mute(clocks.db_now() + timedelta(hours=1), "person:ada")
    telling.tell_due()
    close(alert)
    telling.tell_due()
    again = opened()
    telling.tell_due()

    assert (service.told, again.muted_by, Alert.objects.to_tell().count()) == ([], "person:ada", 1)


def test_one_that_is_not_muted_any_more_is_told(service: JsonService) -> None:
    close(opened())
    Alert.objects.all().update(muted_until=clocks.db_now() + timedelta(hours=1))
    telling.tell_due()
    again = opened()

    Alert.objects.filter(pk=again.pk).unmute()
    telling.tell_due()

    assert [told["title"] for told in service.told] == ["HOMEPOT alert: site_failures berlin-1"]


def test_an_alert_that_ends_while_it_is_muted_is_not_told_again(service: JsonService) -> None:
    alert = opened()
    telling.tell_due()
    Alert.objects.standing().mute(clocks.db_now() + timedelta(hours=1), "person:ada")

    close(alert)
    for _ in range(2):
        telling.tell_due()

    assert len(service.told) == 1


def test_an_alert_that_outlasts_its_mute_is_told_then(service: JsonService) -> None:
    opened()
    Alert.objects.standing().mute(clocks.db_now() + timedelta(hours=1), "person:ada")
    telling.tell_due()

    Alert.objects.update(muted_until=clocks.db_now() - timedelta(seconds=1))
    telling.tell_due()

    assert [told["title"] for told in service.told] == ["HOMEPOT alert: site_failures berlin-1"]


def test_what_began_while_nobody_told_is_told_with_its_end(service: JsonService) -> None:
    close(opened())

    for _ in range(2):
        telling.tell_due()

    assert [told["title"].split()[1] for told in service.told] == ["alert:", "closed:"]


def test_a_destination_that_is_gone_is_given_up(service: JsonService, settings: Settings) -> None:
    service.status = 500
    alert = opened()
    telling.tell_due()
    settings.ALERT_URLS = []
    make_due()
    telling.tell_due()
    close(alert)
    telling.tell_due()

    notice = AlertNotice.objects.get()
    assert (notice.error, notice.given_up_at is None) == ("it is not configured any more", False)


def test_without_destinations_nothing_piles_up() -> None:
    close(opened())
    opened()

    telling.tell_due()

    assert (AlertNotice.objects.count(), Alert.objects.to_tell().count()) == (0, 0)


def test_no_secret_of_an_address_is_written_anywhere(
    service: JsonService, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("DEBUG")
    service.status = 403
    settings.ALERT_URLS = [service.address, "nonsense://hunter2@x/", "json://hunter2@127.0.0.1:1/s3cret-t0ken"]
    opened()

    telling.tell_due()
    logs.configure("INFO")

    said = capsys.readouterr().err + str(list(AlertNotice.objects.values()))
    assert "alerts could not be told" in said
    assert sorted(AlertNotice.objects.values_list("error", flat=True)) == [
        "ALERT_URLS: Apprise knows no service of this address", "the service answered 403",
        "the service was not to be had",
    ]  # fmt: skip
    assert "hunter2" not in said
    assert "s3cret" not in said


def test_a_mail_server_that_hangs_holds_up_no_sweep(settings: Settings) -> None:
    settings.EMAIL_BACKEND = f"{EmailBackend.__module__}.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT, settings.ALERT_EMAILS = "127.0.0.1", 1, ["ops@example.org"]
    opened()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        began = time.monotonic()

        assert (telling.start(), telling.start()) == (1, 0)
        took_s = time.monotonic() - began
        assert telling._busy.acquire(timeout=30)
        telling._busy.release()

    assert took_s < 0.5
    assert AlertNotice.objects.get().error == "the mail server was not to be had: SMTPServerDisconnected"
