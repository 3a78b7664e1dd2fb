"""A scripted day: what went wrong in it is what Push Health says."""

from collections import Counter
from datetime import timedelta
from random import Random

import pytest

from analytics import judging, recount, rollups
from analytics.models import HourlyRollup
from delivery import clocks
from delivery.models import Device, Job, PushNotificationLog, Site
from simulator import history

pytestmark = pytest.mark.django_db
HOURS = 14


@pytest.fixture
def sites() -> list[Site]:
    return [
        Site.objects.create(site_id=f"site-{number}", name=f"Site {number}", timezone=zone)
        for number, zone in enumerate(["Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles"], 1)
    ]


def test_a_scripted_day_names_its_causes(sites: list[Site]) -> None:
    now = clocks.db_now()
    day = history.plan(sites, [], now)

    written = history.write(sites, now, HOURS, Random(1))
    judging.judge_ripe()

    undelivered = PushNotificationLog.objects.filter(status="expired")
    in_the_cut = undelivered.filter(site_id=day.cut_site, created_at__gte=day.cut[0], created_at__lt=day.cut[1])
    assert written == PushNotificationLog.objects.count() > 500
    assert not PushNotificationLog.objects.filter(status__in=["pending", "sent"]).exists()
    causes = Counter(in_the_cut.values_list("verdict", flat=True))
    assert causes.keys() <= {"uplink_down", "unknown"}, "at the very begin it may have been the device"
    assert causes["uplink_down"] > 0.8 * causes.total()
    assert PushNotificationLog.objects.filter(fallback_from="fcm", status="delivered").exists()
    assert set(
        PushNotificationLog.objects.filter(error_code="permission_denied").values_list("verdict", flat=True)
    ) == {"denied_on_device"}


def test_its_numbers_are_those_of_its_rows(sites: list[Site]) -> None:
    history.write(sites, clocks.db_now(), 3, Random(1))
    rollups.roll_up()

    last_sent = recount.last_sent()
    for hour in set(HourlyRollup.objects.values_list("hour", flat=True)):
        assert recount.as_stored(hour) == recount.of_hour(hour, last_sent)


def test_nothing_that_runs_now_counts_its_devices(sites: list[Site]) -> None:
    now = Device.objects.create(device_id="till-1", site=sites[0], lifecycle="active")
    history.write(sites, clocks.db_now(), 2, Random(1))

    history.take_away(Device.objects.all())

    assert list(Device.objects.exclude(site=None)) == list(Device.objects.reachable()) == [now]
    assert not PushNotificationLog.objects.exclude(site__in=sites).exists()


def test_a_log_that_holds_messages_is_left_alone(sites: list[Site]) -> None:
    now = clocks.db_now()
    history.write(sites, now, 2, Random(1))
    before = Job.objects.count()

    assert history.write(sites, now + timedelta(hours=1), 2, Random(2)) == 0
    assert Job.objects.count() == before
