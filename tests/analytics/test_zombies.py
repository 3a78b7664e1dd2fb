"""Who is a zombie, and who is none any more."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from analytics import zombies
from analytics.models import Closed, Rung, Zombie
from delivery import clocks, ranks
from delivery.models import AuditLog, Channel, Connectivity, Device, PushNotificationLog
from tests.analytics import record
from tests.analytics.record import message
from tests.delivery.rows import a_channel, a_device, a_site

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now(db: None) -> datetime:
    return clocks.db_now()


@pytest.fixture
def till(now: datetime) -> Device:
    """Online for the last two days, and now."""
    device = a_device(site=a_site(), last_heartbeat_at=now)
    Connectivity.objects.create(device=device, online_from=now - timedelta(days=2), last_seen=now)
    return device


@pytest.fixture
def fcm(till: Device) -> Channel:
    return a_channel(till, "fcm", rank=0)


@pytest.fixture
def mqtt(till: Device) -> Channel:
    return a_channel(till, "mqtt", rank=1)


def pushed(channel: Channel, ago: timedelta, *, count: int = 1, **fields: object) -> list[PushNotificationLog]:
    """Accepted so long ago, and a minute apart before that; not confirmed."""
    moments = [clocks.db_now() - ago - number * MINUTE for number in range(count)]
    values: dict[str, Any] = {"channel": channel, "provider": channel.provider, "status": "expired"}
    return [message(channel.device, at, **{"sent_at": at, **values, **fields}) for at in moments]


def acked(channel: Channel, ago: timedelta, **fields: Any) -> None:
    at = clocks.db_now() - ago
    pushed(channel, ago, **{"status": "delivered", "acked_at": at + timedelta(seconds=1), **fields})


def found(now: datetime) -> list[str]:
    zombies.find(now)
    return list(Zombie.objects.standing().order_by("id").values_list("provider", flat=True))


def test_three_pushes_that_nobody_confirmed_though_the_device_was_there(
    now: datetime, till: Device, fcm: Channel
) -> None:
    pushes = pushed(fcm, 10 * MINUTE, count=3)

    assert found(now) == ["fcm"]

    zombie = Zombie.objects.get()
    assert (zombie.device, zombie.channel, zombie.site_id, zombie.pushes) == (till, fcm, "site-1", 3)
    assert (zombie.rung, zombie.next_at, zombie.found_at) == (Rung.FOUND, now, now)
    assert zombie.first_push_at == pushes[-1].sent_at


def nothing_lately(channel: Channel) -> None:
    """It may be a zombie again once something is sent to it."""
    pushed(channel, 70 * MINUTE, count=3)


def two_pushes(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=2)


def one_of_them_confirmed(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=3)
    acked(channel, 5 * timedelta(hours=1))


def one_of_them_confirmed_before_many_others(channel: Channel) -> None:
    """Further back than the device's last messages."""
    acked(channel, 5 * timedelta(hours=1))
    pushed(a_channel(channel.device, "mqtt"), 30 * MINUTE, count=zombies.LAST, status="cancelled")
    pushed(channel, 10 * MINUTE, count=3)


def one_refused_by_the_device(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=3)
    acked(channel, 8 * MINUTE, status="failed")


def one_confirmed_that_went_out_on_two_channels(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=3)
    acked(channel, 8 * MINUTE, accepted_by="apns")


def one_confirmed_this_moment(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=3)
    acked(channel, timedelta(seconds=2))


def one_still_on_its_way(channel: Channel) -> None:
    two_pushes(channel)
    pushed(channel, timedelta(seconds=60), status="sent")


def one_called_off(channel: Channel) -> None:
    two_pushes(channel)
    pushed(channel, 5 * MINUTE, status="cancelled")


def one_also_sent_on_another_channel(channel: Channel) -> None:
    two_pushes(channel)
    pushed(channel, 5 * MINUTE, accepted_by="apns")


def one_too_old(channel: Channel) -> None:
    two_pushes(channel)
    pushed(channel, timedelta(hours=25))


def one_not_accepted(channel: Channel) -> None:
    two_pushes(channel)
    pushed(channel, 5 * MINUTE, sent_at=None)


def one_while_the_device_was_away(channel: Channel) -> None:
    """Its span ended four minutes before the third push, and another began after it."""
    now = clocks.db_now()
    Connectivity.objects.update(last_seen=now - 10 * MINUTE, closed_at=now - 8 * MINUTE)
    Connectivity.objects.create(device=channel.device, online_from=now - 5 * MINUTE, last_seen=now)
    pushed(channel, 12 * MINUTE, count=2)
    pushed(channel, 6 * MINUTE)


def a_device_never_heard(channel: Channel) -> None:
    Connectivity.objects.all().delete()
    pushed(channel, 10 * MINUTE, count=3)


def a_channel_that_is_disabled(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=3)
    Channel.objects.update(state="disabled")


def a_device_that_is_suspended(channel: Channel) -> None:
    pushed(channel, 10 * MINUTE, count=3)
    Device.objects.update(lifecycle="suspended")


@pytest.mark.parametrize(
    "arrange",
    [
        nothing_lately, two_pushes, one_of_them_confirmed, one_of_them_confirmed_before_many_others,
        one_refused_by_the_device,
        one_confirmed_that_went_out_on_two_channels, one_confirmed_this_moment, one_still_on_its_way,
        one_called_off, one_also_sent_on_another_channel, one_too_old, one_not_accepted,
        one_while_the_device_was_away, a_device_never_heard, a_channel_that_is_disabled, a_device_that_is_suspended,
    ],
)  # fmt: skip
def test_no_zombie(now: datetime, fcm: Channel, arrange: Callable[[Channel], None]) -> None:
    arrange(fcm)

    assert found(clocks.db_now()) == []


@pytest.mark.parametrize(("silent_s", "is_zombie"), [(119, True), (121, False)])
def test_a_heartbeat_within_two_minutes_of_the_send_is_online(
    now: datetime, till: Device, fcm: Channel, silent_s: int, is_zombie: bool
) -> None:
    Connectivity.objects.update(last_seen=now - 30 * MINUTE)
    for _ in range(3):
        pushed(fcm, 30 * MINUTE - timedelta(seconds=silent_s))

    assert bool(found(clocks.db_now())) is is_zombie


def test_each_channel_is_judged_by_its_own_messages(now: datetime, fcm: Channel, mqtt: Channel) -> None:
    pushed(fcm, 10 * MINUTE, count=3)
    acked(mqtt, 5 * MINUTE)

    assert found(now) == ["fcm"]


def test_one_that_is_known_is_not_found_twice_but_seen_again(now: datetime, fcm: Channel) -> None:
    pushed(fcm, 10 * MINUTE, count=3)
    zombies.find(now)
    pushed(fcm, 5 * MINUTE, count=2)

    later = now + MINUTE
    assert found(later) == ["fcm"]

    zombie = Zombie.objects.get()
    assert (zombie.found_at, zombie.last_seen, zombie.pushes) == (now, later, 5)


@pytest.mark.parametrize("fleet", [1, 30])
def test_it_asks_the_database_as_often_for_many_as_for_one(now: datetime, fleet: int) -> None:
    for number in range(fleet):
        device = a_device(f"kiosk-{number}")
        Connectivity.objects.create(device=device, online_from=now - timedelta(days=1), last_seen=now)
        pushed(a_channel(device, "fcm"), 10 * MINUTE, count=3)

    with CaptureQueriesContext(connection) as asked:
        zombies.find(now)

    assert Zombie.objects.count() == fleet
    assert len([each for each in asked if "changes()" not in each["sql"]]) == 2


def close_ended(now: datetime) -> str:
    zombies.close_ended(now)
    return str(Zombie.objects.order_by("id")[0].closed_why)


@pytest.fixture
def zombie(now: datetime, fcm: Channel, mqtt: Channel) -> Zombie:
    """Found half an hour ago, its channel behind the other."""
    pushed(fcm, 40 * MINUTE, count=3)
    zombies.find(now - 30 * MINUTE)
    assert ranks.demote(fcm)
    return Zombie.objects.get()


def test_it_closes_when_an_ack_comes_and_its_channel_gets_its_rank_back(
    now: datetime, zombie: Zombie, fcm: Channel
) -> None:
    PushNotificationLog.objects.filter(channel=fcm).update(status="delivered", acked_at=now)

    assert close_ended(now) == Closed.ACKED

    fcm.refresh_from_db()
    assert (fcm.rank, fcm.own_rank, fcm.demoted) == (0, None, False)
    assert AuditLog.objects.get(action="closed a zombie").details["why"] == "acked"


def test_it_stands_while_nothing_changes(now: datetime, zombie: Zombie, mqtt: Channel) -> None:
    acked(mqtt, MINUTE)

    assert close_ended(now) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: Channel.objects.filter(provider="fcm").update(state="disabled"), Closed.CHANNEL_GONE),
        (lambda: Channel.objects.filter(provider="fcm").update(state="parked"), ""),
        (lambda: Channel.objects.filter(provider="fcm").update(device=a_device("another")), Closed.CHANNEL_GONE),
        (lambda: Device.objects.update(lifecycle="retired"), Closed.DEVICE_GONE),
        (lambda: Device.objects.update(lifecycle="suspended"), Closed.DEVICE_GONE),
        (lambda: Channel.objects.filter(provider="fcm").update(registered_at=clocks.db_now()), ""),
    ],
)
def test_it_closes_with_its_channel_and_its_device(
    now: datetime, zombie: Zombie, change: Callable[[], None], why: str
) -> None:
    change()

    assert close_ended(now) == why


def test_one_that_registers_again_when_asked_is_given_another_chance_once(
    now: datetime, zombie: Zombie, fcm: Channel
) -> None:
    Zombie.objects.update(asked_at=now - 20 * MINUTE, rung=Rung.ASKED)
    Channel.objects.filter(pk=fcm.pk).update(registered_at=now - 10 * MINUTE)

    assert close_ended(now - 9 * MINUTE) == Closed.REGISTERED_AGAIN
    assert found(now - 9 * MINUTE) == [], "what was sent before says nothing about the new registration"

    pushed(fcm, 5 * MINUTE, count=3)
    assert found(now) == ["fcm"]

    again = Zombie.objects.standing().get()
    assert again.rung == Rung.ASKED, "it is neither probed nor asked a second time"
    Zombie.objects.filter(pk=again.pk).update(asked_at=now - MINUTE)
    Channel.objects.filter(pk=fcm.pk).update(registered_at=now)
    zombies.close_ended(now)
    assert Zombie.objects.standing().exists()


def test_a_person_closes_it_once(now: datetime, zombie: Zombie, fcm: Channel) -> None:
    assert zombies.close(zombie, Closed.BY_PERSON, by="person:ada", now=now) is True
    assert zombies.close(zombie, Closed.BY_PERSON, by="person:ada", now=now) is False

    fcm.refresh_from_db()
    assert (fcm.demoted, found(clocks.db_now())) == (False, [])
    assert AuditLog.objects.get(action="closed a zombie").actor == "person:ada"


def test_only_who_may_change_zombies_closes_them_in_the_admin(now: datetime, zombie: Zombie, fcm: Channel) -> None:
    tom = User.objects.create_user("tom", is_staff=True)
    a_site().technicians.add(tom)
    client = Client()
    client.force_login(tom, backend="django.contrib.auth.backends.ModelBackend")
    form = {"action": "close", "_selected_action": [zombie.pk]}

    tom.user_permissions.set(Permission.objects.filter(codename="view_zombie"))
    client.post("/admin/analytics/zombie/", form)
    assert Zombie.objects.standing().exists()

    tom.user_permissions.set(Permission.objects.filter(codename__in=["view_zombie", "change_zombie"]))
    client.post("/admin/analytics/zombie/", form)

    fcm.refresh_from_db()
    assert (Zombie.objects.get().closed_why, fcm.demoted) == (Closed.BY_PERSON, False)
    assert AuditLog.objects.get(action="closed a zombie").actor == "person:tom"


@pytest.mark.postgres_only
def test_finding_reads_the_last_hour_by_its_index_and_never_the_whole_log(now: datetime) -> None:
    channels = [a_channel(a_device(f"kiosk-{number}"), "fcm") for number in range(40)]
    PushNotificationLog.objects.bulk_create(
        PushNotificationLog(
            message_id=record.id_of(now - age * MINUTE), device=channel.device, channel=channel, provider="fcm",
            credential="default", priority=2, status="sent", created_at=now - age * MINUTE, sent_at=now - age * MINUTE,
            expires_at=now,
        )
        for age in range(0, 1500, 30)
        for channel in channels
    )  # fmt: skip
    with CaptureQueriesContext(connection) as asked:
        zombies.find(now)
    statement = next(each["sql"] for each in asked if "unconfirmed" in each["sql"])

    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE push_notification_logs; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"
        )
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "push_log_created_idx" in plan
    assert "Seq Scan on push_notification_logs" not in plan
