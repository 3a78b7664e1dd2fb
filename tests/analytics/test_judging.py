"""From rows to verdicts. (The rules themselves: test_verdicts.py.)"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from analytics import gathering, judging, rollups
from analytics.models import HourlyRollup
from delivery import acks, gate
from delivery.models import Connectivity, DeliveryAttempt, Device, GateSpan, PushNotificationLog, Site
from delivery.models.gate_span import Trouble
from delivery.models.verdict import Verdict
from tests import races
from tests.analytics import record

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
END = NOON + 5 * MINUTE

pytestmark = pytest.mark.django_db


class Clock:
    now = NOON


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The database's time, set by hand: a quarter of an hour after the messages' end."""
    hands = Clock()
    hands.now = END + 15 * MINUTE
    monkeypatch.setattr("delivery.clocks.db_now", lambda: hands.now)
    return hands


@pytest.fixture
def site() -> Site:
    return Site.objects.create(site_id="site-1", name="A site")


def expired(of: Device, **fields: object) -> PushNotificationLog:
    """Ordered at noon, taken by FCM a second later, and never acked."""
    facts: dict[str, Any] = {
        "status": "expired",
        "expired_at": END,
        "sent_at": NOON + SECOND,
        "handoff_ms": 20,
        **fields,
    }
    return record.message(of, NOON, **facts)


def arrived(of: Device, **fields: object) -> PushNotificationLog:
    facts: dict[str, Any] = {
        "status": "delivered",
        "sent_at": NOON + SECOND,
        "acked_at": NOON + 2 * SECOND,
        "received_at": NOON,
    }
    return record.message(of, NOON, **facts | fields)


def heard(of: Device, last: datetime = END + 20 * MINUTE) -> None:
    """Online since an hour before noon."""
    Connectivity.objects.create(device=of, online_from=NOON - 60 * MINUTE, last_seen=last)


def verdict_of(push: PushNotificationLog) -> str:
    push.refresh_from_db()
    return push.verdict


def test_tells_the_device_from_its_site(site: Site) -> None:
    away, *there = (record.device(site) for _ in range(4))
    heard(away, NOON - MINUTE)
    for each in there:
        heard(each)
    push = expired(away)

    assert judging.judge_ripe() == 1

    assert verdict_of(push) == Verdict.DEVICE_OFFLINE
    assert push.evidence == (
        "FCM took it at 12:00:01 UTC, but the device was last heard at 11:59:00 UTC; "
        "3 of 3 other devices of the site were heard."
    )


def test_a_site_of_which_nobody_is_heard_has_no_uplink(site: Site) -> None:
    pushes = []
    for _ in range(3):
        device = record.device(site)
        heard(device, NOON - MINUTE)
        pushes.append(expired(device))

    judging.judge_ripe()

    assert {verdict_of(push) for push in pushes} == {Verdict.UPLINK_DOWN}


def test_where_nobody_at_all_was_heard_it_was_us(site: Site) -> None:
    devices = [record.device(Site.objects.get_or_create(site_id=f"site-{n % 5}")[0]) for n in range(30)]
    for device in devices:
        heard(device, NOON - MINUTE)
    push = expired(devices[0])

    judging.judge_ripe()

    assert verdict_of(push) == Verdict.UNKNOWN
    assert "our server heard nobody then" in push.evidence


def test_a_provider_that_fails_at_one_site_only_is_blocked_there(site: Site) -> None:
    pushes = []
    for _ in range(4):
        device = record.device(site)
        heard(device)
        pushes.append(expired(device))
        arrived(device, provider="mqtt")
    for _ in range(20):
        arrived(record.device(Site.objects.get_or_create(site_id="site-2")[0]))

    judging.judge_ripe()

    assert {verdict_of(push) for push in pushes} == {Verdict.BLOCKED_AT_SITE}
    assert "0 of 3 messages to others of the site arrived through FCM, at other sites 100%" in pushes[0].evidence


def test_a_device_that_alone_confirms_nothing_is_broken(site: Site) -> None:
    broken, *good = (record.device(site) for _ in range(4))
    for each in (broken, *good):
        heard(each)
    push = expired(broken)
    for each in good:
        arrived(each)

    judging.judge_ripe()

    assert verdict_of(push) == Verdict.DENIED_ON_DEVICE


def test_devices_that_were_away_accuse_nobody(site: Site) -> None:
    broken, good, other, *away = (record.device(site) for _ in range(10))
    for each in (broken, good, other):
        heard(each)
    for each in away:
        heard(each, NOON - MINUTE)
        expired(each)
    push = expired(broken)
    for each in (good, other):
        arrived(each)

    judging.judge_ripe()

    assert verdict_of(push) == Verdict.DENIED_ON_DEVICE


def test_rarely_used_providers_are_compared_by_the_hour(site: Site) -> None:
    pushes = []
    for _ in range(4):
        device = record.device(site)
        heard(device)
        pushes.append(expired(device))
    other = Site.objects.create(site_id="site-2")
    HourlyRollup.objects.create(
        hour=rollups.hour_of(NOON), site=other, provider="fcm", handed_over=40, delivered=35, late=3
    )

    judging.judge_ripe()

    assert verdict_of(pushes[0]) == Verdict.BLOCKED_AT_SITE


def test_the_last_refusal_is_the_cause(site: Site) -> None:
    push = expired(record.device(site), sent_at=None, provider="inbox", fallback_from="fcm")
    DeliveryAttempt.objects.create(push=push, provider="fcm", started_at=NOON, took_ms=9, outcome="retry", code="x")
    DeliveryAttempt.objects.create(
        push=push, provider="fcm", started_at=NOON + MINUTE, took_ms=9, outcome="address_gone", code="UNREGISTERED"
    )

    judging.judge_ripe()

    assert verdict_of(push) == Verdict.ADDRESS_GONE
    assert push.evidence.startswith("FCM answered UNREGISTERED, after 2 attempts")


@pytest.mark.parametrize(
    ("trouble", "verdict"),
    [
        (Trouble.FAILING, Verdict.PROVIDER_DOWN),
        (Trouble.MISCONFIGURED, Verdict.OUR_CREDENTIAL),
        (Trouble.THROTTLED, Verdict.THROTTLED),
    ],
)
def test_what_waited_behind_a_gate_is_judged_by_its_trouble(site: Site, trouble: Trouble, verdict: Verdict) -> None:
    push = expired(record.device(site), sent_at=None, provider="simulation")
    GateSpan.objects.note("simulation", "default", trouble, why="503", now=NOON - MINUTE)
    GateSpan.objects.note("simulation", "default", trouble, why="503", now=NOON + MINUTE)

    judging.judge_ripe()

    assert verdict_of(push) == verdict


def test_trouble_of_another_time_or_provider_explains_nothing(site: Site) -> None:
    push = expired(record.device(site), sent_at=None, provider="simulation")
    GateSpan.objects.note("apns", "default", Trouble.FAILING, why="503", now=NOON)
    GateSpan.objects.note("simulation", "default", Trouble.FAILING, why="503", now=NOON - 60 * MINUTE)
    GateSpan.objects.end("simulation", "default", NOON - 50 * MINUTE)

    judging.judge_ripe()

    assert verdict_of(push) == Verdict.NEVER_HANDED_OVER


def test_is_not_hasty(site: Site, clock: Clock) -> None:
    push = expired(record.device(site), sent_at=None, provider="simulation")
    clock.now = END + 10 * SECOND

    assert judging.judge_ripe() == 0

    clock.now = END + 20 * SECOND
    assert judging.judge_ripe() == 1
    assert verdict_of(push) == Verdict.NEVER_HANDED_OVER


def test_looks_again_when_heartbeats_are_complete(site: Site, clock: Clock) -> None:
    devices = [record.device(site) for _ in range(3)]
    for device in devices:
        heard(device, NOON)
    push = record.message(
        devices[0], NOON, status="expired", expired_at=END, sent_at=NOON + SECOND, expires_at=NOON + 10 * SECOND
    )
    clock.now = NOON + 40 * SECOND
    judging.judge_ripe()
    early = verdict_of(push)
    Connectivity.objects.filter(device=devices[1]).update(last_seen=NOON + 100 * SECOND)
    clock.now = NOON + 170 * SECOND

    judging.judge_ripe()

    assert (early, verdict_of(push)) == (Verdict.UNKNOWN, Verdict.DEVICE_OFFLINE)


def test_stops_looking_after_a_quarter_of_an_hour(site: Site, clock: Clock) -> None:
    push = expired(record.device(site))
    looks = []
    for clock.now in (END + 30 * SECOND, END + 3 * MINUTE, END + 16 * MINUTE):
        judging.judge_ripe()
        push.refresh_from_db()
        looks.append(push.judge_at)

    assert looks == [END + 150 * SECOND, END + 15 * MINUTE, None]


def test_a_late_ack_takes_the_verdict_back(site: Site, clock: Clock) -> None:
    push = expired(record.device(site))
    judging.judge_ripe()
    before = verdict_of(push)

    acks.record([acks.ProvenAck(acks.Ack(message_id=str(push.message_id)), push.device_id)])
    taken_back = verdict_of(push)
    judging.judge_ripe()

    assert (before, taken_back, verdict_of(push)) == (Verdict.UNKNOWN, "", Verdict.TOO_LATE)
    assert push.judge_at is None


def test_what_arrived_in_time_has_no_verdict(site: Site) -> None:
    push = expired(record.device(site), status="failed", acked_at=END, expired_at=None, error_code="denied")
    PushNotificationLog.objects.filter(pk=push.pk).update(expires_at=END + 60 * MINUTE)
    judging.judge_ripe()
    before = verdict_of(push)

    acks.record([acks.ProvenAck(acks.Ack(message_id=str(push.message_id)), push.device_id)])
    judging.judge_ripe()

    assert (before, verdict_of(push), push.evidence) == (Verdict.DENIED_ON_DEVICE, "", "")


def test_an_ack_that_comes_while_it_is_judged_wins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    push = expired(record.device(site))

    def acked_meanwhile(*given: Any) -> object:
        acks.record([acks.ProvenAck(acks.Ack(message_id=str(push.message_id)), push.device_id)])
        return gathering.gather(*given)

    monkeypatch.setattr("analytics.judging.gather", acked_meanwhile)
    judging.judge_ripe()

    assert verdict_of(push) == ""


def test_twice_changes_nothing(site: Site) -> None:
    for _ in range(3):
        expired(record.device(site))
    judging.judge_ripe()
    once = list(PushNotificationLog.objects.values_list("pk", "verdict", "evidence", "judge_at"))

    assert judging.judge_ripe() == 0

    assert list(PushNotificationLog.objects.values_list("pk", "verdict", "evidence", "judge_at")) == once


def test_goes_on_where_a_run_had_to_stop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "BATCH", 2)
    monkeypatch.setattr(judging, "BUDGET_S", -1.0)
    pushes = [expired(record.device(site)) for _ in range(5)]

    runs = [judging.judge_ripe() for _ in range(4)]

    assert runs == [2, 2, 1, 0]
    assert all(verdict_of(push) for push in pushes)


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_an_ack_in_progress_is_not_waited_for(site: Site) -> None:
    busy, free = expired(record.device(site)), expired(record.device(site))
    hold = PushNotificationLog.objects.select_for_update()

    with races.rival() as ack:
        ack.does(lambda: hold.get(pk=busy.pk))
        judging.judge_ripe()
        ack.commit()

    assert (verdict_of(busy), verdict_of(free)) == ("", Verdict.UNKNOWN)


def test_the_hours_count_the_verdicts(site: Site, clock: Clock) -> None:
    late = expired(record.device(site))
    expired(record.device(site), sent_at=None)
    rollups.roll_up()
    clock.now += timedelta(hours=3)
    rollups.roll_up()

    judging.judge_ripe()
    rollups.roll_up()
    first = HourlyRollup.objects.get(hour=NOON).verdicts
    acks.record([acks.ProvenAck(acks.Ack(message_id=str(late.message_id)), late.device_id)])
    judging.judge_ripe()
    rollups.roll_up()

    assert first == {"unknown": 1, "our_credential": 1}
    assert HourlyRollup.objects.get(hour=NOON).verdicts == {"our_credential": 1, "too_late": 1}
    assert record.counted() == record.recounted()


@pytest.mark.parametrize("seed", range(3))
def test_every_message_that_did_not_arrive_in_time_is_judged(clock: Clock, seed: int) -> None:
    record.random_day(Random(seed), NOON - timedelta(hours=6), hours=6, messages=150)
    clock.now = NOON + timedelta(hours=9)

    judging.judge_ripe()

    ended = PushNotificationLog.objects.filter(status__in=["failed", "expired", "cancelled"])
    late = PushNotificationLog.objects.filter(status="delivered", expired_at__isnull=False)
    judged = set(PushNotificationLog.objects.exclude(verdict="").values_list("pk", flat=True))
    assert judged == {*ended.values_list("pk", flat=True), *late.values_list("pk", flat=True)}


def test_a_gate_leaves_a_span_behind() -> None:
    gate.pause("fcm", "default", why="503", now=NOON, seconds=60)
    gate.pause("fcm", "default", why="no_answer", now=NOON + MINUTE, seconds=60)
    GateSpan.objects.end("fcm", "default", NOON + 2 * MINUTE)
    gate.pause("fcm", "default", why="503", now=NOON + 3 * MINUTE, seconds=60)

    spans = list(GateSpan.objects.order_by("id").values_list("trouble", "why", "began_at", "last_at", "closed_at"))
    assert spans == [
        ("failing", "no_answer", NOON, NOON + MINUTE, NOON + 2 * MINUTE),
        ("failing", "503", NOON + 3 * MINUTE, NOON + 3 * MINUTE, None),
    ]
