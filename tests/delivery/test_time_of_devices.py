"""Whatever a device's clock says: the ack counts, the raw word is kept, and no wrong latency comes of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.test import Client

from analytics import rollups
from analytics.models import HourlyRollup
from delivery import clocks
from delivery.models import Device, PushNotificationLog, Receipt
from delivery.models.push_log_rows import Sent
from tests.delivery import rows
from tests.delivery.api.conftest import device_client

pytestmark = pytest.mark.django_db

YEAR = timedelta(days=365)
WAY_MS = 5_000
"""A heartbeat's way here, at most: an estimate of a clock is as good as that."""
NO_SENSE = {
    "a year behind": lambda now: (now - YEAR).isoformat(),
    "a year ahead": lambda now: (now + YEAR).isoformat(),
    "an hour ahead, as local time without its zone": lambda now: (now + timedelta(hours=1)).strftime("%FT%T"),
    "the first year": lambda now: "0001-01-01T00:00:00Z",
    "before the first year": lambda now: "0001-01-01T00:00:00+02:00",
    "the last year": lambda now: "9999-12-31T23:59:59.999999Z",
    "after the last year": lambda now: "9999-12-31T23:59:59-01:00",
    "the leap second of 2016": lambda now: "2016-12-31T23:59:60Z",
    "the last leap second of all": lambda now: "9999-12-31T23:59:60Z",
}


@pytest.fixture
def message(transactional_db: None) -> PushNotificationLog:
    """Sent five seconds ago."""
    [row] = rows.messages(1, age_s=5)
    token = row.message_id
    [claimed] = rows.claim(token)
    sent_at = clocks.db_now() - timedelta(seconds=5)
    PushNotificationLog.objects.mark_sent([Sent(claimed.id, sent_at, "p-1", "", None)], token=token)
    row.refresh_from_db()
    return row


def ack(message: PushNotificationLog, received_at: str) -> Any:
    client = device_client(message.device_id, "key")
    return client.post("/api/v1/push/ack", {"message_id": str(message.message_id), "received_at": received_at})


def heartbeat(message: PushNotificationLog, timestamp: str) -> Any:
    Device.objects.filter(device_id=message.device_id).update(last_heartbeat_at=None)
    client = device_client(message.device_id, "key")
    return client.post("/api/v1/agent/heartbeat", {"device_id": message.device_id, "timestamp": timestamp})


@pytest.mark.parametrize("said", NO_SENSE.values(), ids=NO_SENSE)
def test_a_time_that_makes_no_sense_delivers_without_a_latency(
    message: PushNotificationLog, said: Callable[[datetime], str]
) -> None:
    told = said(clocks.db_now())

    answer = ack(message, told)

    assert answer.status_code == 200
    message.refresh_from_db()
    assert (message.status, message.clock_skewed, message.latency_ms) == ("delivered", True, None)
    assert message.received_at == clocks.read(told)
    assert Receipt.objects.get().details["received_at"] == told


@pytest.mark.parametrize("said", NO_SENSE.values(), ids=NO_SENSE)
def test_no_percentile_knows_of_it(message: PushNotificationLog, said: Callable[[datetime], str]) -> None:
    ack(message, said(clocks.db_now()))

    rollups.roll_up()

    [counted] = HourlyRollup.objects.filter(ordered=1)
    assert (counted.delivered, counted.latency_count, counted.latency) == (1, 0, {})


@pytest.mark.parametrize("said", NO_SENSE.values(), ids=NO_SENSE)
def test_every_page_still_shows_it(
    message: PushNotificationLog, admin_client: Client, said: Callable[[datetime], str]
) -> None:
    site = rows.a_site("tonga", timezone="Pacific/Tongatapu")
    PushNotificationLog.objects.filter(pk=message.pk).update(site=site)
    ack(message, said(clocks.db_now()))

    page = admin_client.get(f"/admin/delivery/pushnotificationlog/{message.pk}/change/")
    story = device_client(message.device_id, "key").get(f"/api/v1/messages/{message.message_id}")

    assert page.status_code == 200
    assert story.status_code == 200
    assert story.json()["clock_skewed"] is True


@pytest.mark.parametrize("by", [YEAR, -YEAR], ids=["ahead", "behind"])
def test_a_clock_that_was_a_year_off_for_long_gives_the_true_latency(
    message: PushNotificationLog, by: timedelta
) -> None:
    heartbeat(message, (clocks.db_now() + by).isoformat())
    received_at = clocks.db_now() - timedelta(seconds=2)
    told = received_at + by

    ack(message, told.isoformat())

    message.refresh_from_db()
    assert (message.received_at, message.clock_skewed) == (told, False)
    assert message.latency_ms == pytest.approx(_ms_since_sent(message, received_at), abs=WAY_MS)


@pytest.mark.parametrize("zones", [(timedelta(hours=2), timedelta(hours=1)), (timedelta(hours=1), timedelta(hours=2))])
def test_an_hour_that_comes_or_goes_with_the_seasons_changes_nothing_where_the_zone_is_named(
    message: PushNotificationLog, zones: tuple[timedelta, timedelta]
) -> None:
    before, after = (timezone(zone) for zone in zones)
    heartbeat(message, clocks.db_now().astimezone(before).isoformat())
    received_at = clocks.db_now() - timedelta(seconds=2)

    ack(message, received_at.astimezone(after).isoformat())

    message.refresh_from_db()
    assert message.clock_skewed is False
    assert message.latency_ms == pytest.approx(_ms_since_sent(message, received_at), abs=WAY_MS)


@pytest.mark.parametrize("hours", [1, -1])
def test_local_time_without_a_zone_is_not_believed_while_the_clocks_change(
    message: PushNotificationLog, hours: int
) -> None:
    local = timedelta(hours=2)
    heartbeat(message, _naive(clocks.db_now() + local))

    ack(message, _naive(clocks.db_now() + local + timedelta(hours=hours)))

    message.refresh_from_db()
    assert (message.status, message.clock_skewed, message.latency_ms) == ("delivered", True, None)


@pytest.mark.parametrize("hours", [1, -1])
def test_two_heartbeats_after_the_clocks_changed_it_is_believed_again(message: PushNotificationLog, hours: int) -> None:
    summer, winter = timedelta(hours=2), timedelta(hours=2 + hours)
    for local in (summer, summer, winter, winter):
        heartbeat(message, _naive(clocks.db_now() + local))
    received_at = clocks.db_now() - timedelta(seconds=2)

    ack(message, _naive(received_at + winter))

    message.refresh_from_db()
    assert message.clock_skewed is False
    assert message.latency_ms == pytest.approx(_ms_since_sent(message, received_at), abs=WAY_MS)


@pytest.mark.parametrize("said", NO_SENSE.values(), ids=NO_SENSE)
def test_a_heartbeat_counts_whatever_its_clock_says(
    message: PushNotificationLog, said: Callable[[datetime], str]
) -> None:
    answer = heartbeat(message, said(clocks.db_now()))

    assert answer.status_code == 200
    device = Device.objects.get(device_id=message.device_id)
    assert device.connectivity_state(clocks.db_now()) == "online"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500000+00:00"),
        ("2016-12-31 15:59:60-08:00", "2017-01-01T00:00:00+00:00"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00+00:00"),
        ("2026-10-25T02:30:00", "2026-10-25T02:30:00+00:00"),
    ],
)
def test_a_time_is_read_as_the_instant_that_it_names(text: str, read: str) -> None:
    assert clocks.read(text).isoformat() == read


@pytest.mark.parametrize("text", ["", "now", "23:59:60", "2026-02-30T00:00:00Z", "2026-01-01T23:59:61Z", "1e9"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        clocks.read(text)


def _ms_since_sent(message: PushNotificationLog, received_at: datetime) -> float:
    assert message.sent_at is not None
    return (received_at - message.sent_at).total_seconds() * 1_000


def _naive(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()
