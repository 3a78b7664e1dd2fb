"""Alerts that open and close by what is in the record."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from pytest_django import Settings

from analytics import alerts, latency, measuring
from analytics.models import Rung, Zombie
from analytics.rollups import hour_of
from delivery import clocks
from delivery.models import Alert, Channel, LastRun, ProviderState, RefusedRegistration, Site
from tests.analytics.api.conftest import rollup
from tests.delivery.rows import a_channel, a_device, a_site

pytestmark = pytest.mark.django_db
WELL: dict[str, Any] = {
    "ordered": 100, "delivered": 100, "late": 0, "failed": 0, "expired": 0, "cancelled": 0, "skipped": 0,
    "handed_over": 100, "fallback": 0, "attempted": 100, "accepted": 100, "refused": {},
    "latency": latency.histogram([80] * 100), "latency_count": 100,
}  # fmt: skip
HOUR = timedelta(hours=1)


@pytest.fixture
def present(db: None) -> datetime:
    return hour_of(clocks.db_now())


@pytest.fixture
def site(db: None) -> Site:
    return a_site()


@pytest.fixture(autouse=True)
def a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not looked at sweeps yet."""
    monkeypatch.setattr(measuring, "_first_look_s", None)


def standing() -> dict[str, str]:
    return dict(Alert.objects.standing().values_list("subject", "kind"))


def the_alert() -> Alert:
    return Alert.objects.get(closed_at=None)


def test_a_site_that_misses_too_much_opens_one_alert_with_its_cause(site: Site, present: datetime) -> None:
    rollup(site, present, "fcm", **WELL | {"delivered": 60, "failed": 4, "expired": 36})
    rollup(site, present, "mqtt", **WELL)
    rollup(a_site("site-2"), present, "fcm", **WELL)

    alerts.judge_all()
    alerts.judge_all()

    alert = the_alert()
    assert (alert.kind, alert.subject, alert.site_id, alert.provider) == ("site_failures", "site-1", "site-1", "fcm")
    assert alert.text == "At site-1 40 of 200 messages were missed (20.0%), 40 of them by fcm."
    assert alert.cause == "fcm is blocked or broken at this site: messages by mqtt arrive here."
    assert alert.times == 2


def test_the_verdicts_of_its_messages_name_the_cause(site: Site, present: datetime) -> None:
    half = WELL | {"delivered": 60, "expired": 40}
    rollup(site, present, "fcm", **half | {"verdicts": {"device_offline": 5, "uplink_down": 30}})
    rollup(site, present - HOUR, "mqtt", **half | {"verdicts": {"uplink_down": 35}})

    alerts.judge_all()

    assert the_alert().cause == "Site uplink down: so 65 of 70 messages were judged."


def test_what_was_called_off_or_is_still_open_is_no_failure(site: Site, present: datetime) -> None:
    rollup(site, present, **WELL | {"ordered": 900, "delivered": 96, "expired": 4, "cancelled": 300, "skipped": 300})

    alerts.judge_all()

    assert standing() == {}


def test_few_messages_open_nothing(site: Site, present: datetime) -> None:
    rollup(site, present, **WELL | {"delivered": 0, "expired": 19})

    alerts.judge_all()

    assert standing() == {}


def test_both_hours_count_and_no_older_one(site: Site, present: datetime) -> None:
    rollup(site, present, **WELL | {"delivered": 9, "expired": 1})
    rollup(site, present - HOUR, **WELL | {"delivered": 9, "expired": 1})
    rollup(site, present - 2 * HOUR, **WELL | {"delivered": 9999})

    alerts.judge_all()

    assert standing() == {"site-1": "site_failures"}


def test_an_alert_closes_by_itself_once_it_has_been_better_for_a_while(
    site: Site, present: datetime, settings: Settings
) -> None:
    rollup(site, present, **WELL | {"delivered": 60, "expired": 40})
    alerts.judge_all()
    site.hourlyrollup_set.update(delivered=100, expired=0)

    alerts.judge_all()
    assert the_alert().better_since is not None
    Alert.objects.update(better_since=clocks.db_now() - timedelta(seconds=settings.ALERT_CALM_S))

    assert alerts.judge_all() == 1
    assert standing() == {}


def test_what_gets_worse_again_begins_its_calm_anew(site: Site, present: datetime) -> None:
    rollup(site, present, **WELL | {"delivered": 60, "expired": 40})
    alerts.judge_all()
    Alert.objects.update(better_since=clocks.db_now() - timedelta(days=1))

    alerts.judge_all()

    assert the_alert().better_since is None


def test_a_provider_that_refuses_too_much(site: Site, present: datetime) -> None:
    rollup(site, present, **WELL | {"attempted": 100, "accepted": 90, "refused": {"throttled": 7, "retry": 3}})
    rollup(None, present, "mqtt", **WELL)

    alerts.judge_all()

    alert = the_alert()
    assert (alert.kind, alert.subject, alert.site_id) == ("provider_errors", "fcm", None)
    assert "10 of 100 attempts (10.0%)" in alert.text
    assert alert.cause == "7 of 10 refusals are throttled: we send more than the provider takes."


def test_a_provider_over_the_target_time(site: Site, present: datetime) -> None:
    rollup(site, present, **WELL | {"latency": latency.histogram([2_600] * 100)})
    rollup(site, present, "inbox", **WELL | {"latency": latency.histogram([60_000] * 100)})

    alerts.judge_all()

    assert standing() == {"fcm": "slow_provider"}
    assert the_alert().text == "By fcm 95 of 100 messages took up to 2.6 s; the target is 2 s."


def test_too_many_messages_on_another_provider_than_their_first(site: Site, present: datetime) -> None:
    ProviderState.objects.create(provider="apns", state="open", opened_at=clocks.db_now())
    rollup(site, present, "mqtt", **WELL | {"fallback": 11})

    alerts.judge_all()

    assert standing() == {"all sites": "fallback"}
    assert the_alert().cause == "Closed for now: apns/default. Messages take the next channel."


def test_registrations_that_are_refused(site: Site, present: datetime) -> None:
    for number in range(16):
        a_channel(a_device(f"till-{number}"))
    for _ in range(4):
        RefusedRegistration.objects.note("channel 422", clocks.db_now())

    alerts.judge_all()
    assert standing() == {}
    RefusedRegistration.objects.note("provision 401", clocks.db_now())
    alerts.judge_all()

    assert standing() == {"all sites": "registration_failures"}
    assert the_alert().cause == "4 of them: channel 422."


@pytest.mark.parametrize(
    ("name", "ago_s", "late"),
    [
        ("delivery.expire", 124, False),
        ("delivery.expire", 126, True),
        ("delivery.settle_ranks", 599, False),
        ("delivery.settle_ranks", 601, True),
        ("delivery.forget_challenges", 2 * 86_400 - 60, False),
        ("delivery.forget_challenges", 2 * 86_400 + 1, True),
        ("push.fcm", 9_999_999, False),
    ],
)
def test_a_sweep_that_does_not_run(name: str, ago_s: float, late: bool) -> None:
    LastRun.objects.note(name, clocks.db_now() - timedelta(seconds=ago_s))

    alerts.judge_all()

    assert standing() == ({name: "sweep_late"} if late else {})


def test_a_sweep_that_never_ran_is_late_after_a_while(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts.judge_all()
    assert standing() == {}
    LastRun.objects.bulk_create(
        LastRun(name=name, ran_at=clocks.db_now())
        for name in settings.CELERY_BEAT_SCHEDULE
        if name != "delivery.expire"
    )

    monkeypatch.setattr(measuring, "_first_look_s", time.monotonic() - 126)
    alerts.judge_all()

    assert standing() == {"delivery.expire": "sweep_late"}


@pytest.mark.parametrize(("ago_s", "opens"), [(50, False), (70, True)])
def test_a_breaker_that_stays_open(ago_s: float, opens: bool) -> None:
    opened_at = clocks.db_now() - timedelta(seconds=ago_s)
    ProviderState.objects.create(provider="fcm", state="half_open", opened_at=opened_at, why="no_answer")

    alerts.judge_all()

    assert standing() == ({"fcm/default": "breaker_open"} if opens else {})


def a_zombie(channel: Channel, site: Site | None, rung: str = Rung.FOUND) -> Zombie:
    now = clocks.db_now()
    return Zombie.objects.create(
        device=channel.device, channel=channel, site=site, provider=channel.provider, found_at=now, last_seen=now,
        pushes=3, first_push_at=now, rung=rung, rung_at=now,
    )  # fmt: skip


@pytest.mark.parametrize(("count", "tickets", "opens"), [(4, 0, False), (5, 0, True), (1, 1, True)])
def test_many_zombies_at_a_site_or_one_that_nothing_healed(site: Site, count: int, tickets: int, opens: bool) -> None:
    for number in range(count):
        channel = a_channel(a_device(f"till-{number}", site=site))
        a_zombie(channel, site, Rung.TICKET if number < tickets else Rung.MOVED)

    alerts.judge_all()

    assert standing() == ({"site-1": "zombies"} if opens else {})


def test_the_alert_about_zombies_names_them_and_closes_with_them(site: Site, settings: Settings) -> None:
    settings.ALERT_CALM_S = 0
    zombie = a_zombie(a_channel(a_device("till-9")), None, Rung.TICKET)

    alerts.judge_all()
    said = the_alert()
    Zombie.objects.filter(pk=zombie.pk).update(closed_at=clocks.db_now())
    alerts.judge_all()
    alerts.judge_all()

    assert (said.subject, said.site_id) == ("no site", None)
    assert said.text.startswith("Online and confirming nothing at no site: till-9 (simulation). 1 of 1 could not")
    assert standing() == {}


def test_alerts_of_others_are_left_alone(present: datetime) -> None:
    Alert.objects.open_or_repeat("misconfigured", "fcm/default", "a wrong key", present - timedelta(days=2))

    alerts.judge_all()

    assert standing() == {"fcm/default": "misconfigured"}
