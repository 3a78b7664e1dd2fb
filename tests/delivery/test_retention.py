"""A rule for each table that grows, orders that go after their messages, and payloads that are wiped."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessLog
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models import Model
from pytest_django import Settings

from delivery import clocks, job_control, jobs, retention
from delivery.models import (
    Alert,
    AlertNotice,
    AuditLog,
    Connectivity,
    DeviceCommand,
    DeviceJob,
    DeviceReport,
    GateSpan,
    Job,
    PushNotificationLog,
    RefusedRegistration,
    TelemetryLog,
)
from delivery.pruning import Pace
from tests.delivery import rows

pytestmark = pytest.mark.django_db

PACE = Pace(batch=2, pause_s=0.0)
YEARS = timedelta(days=3_000)


def command(at: datetime, **fields: Any) -> DeviceCommand:
    return DeviceCommand.objects.create(
        device=rows.a_device(f"till-{DeviceCommand.objects.count()}"), command_type="ping", queued_by="person:test",
        created_at=at, expires_at=at, **{"status": "expired", "expired_at": at} | fields,
    )  # fmt: skip


def span(at: datetime, **fields: Any) -> Connectivity:
    device = rows.a_device(f"till-{Connectivity.objects.count()}")
    return Connectivity.objects.create(device=device, online_from=at, last_seen=at, **{"closed_at": at} | fields)


def gate(at: datetime, **fields: Any) -> GateSpan:
    return GateSpan.objects.create(
        provider="fcm", credential=str(at), trouble="failing", began_at=at, last_at=at, **{"closed_at": at} | fields
    )


def alert(at: datetime, **fields: Any) -> Alert:
    made = Alert.objects.create(
        kind="a kind", subject=f"{at}", opened_at=at, last_seen_at=at, **{"closed_at": at} | fields
    )
    AlertNotice.objects.create(alert=made, event="opened", destination="e-mail", due_at=at)
    return made


def moved(row: Model, **fields: datetime) -> Model:
    """Fields that only the database sets."""
    type(row)._default_manager.filter(pk=row.pk).update(**fields)
    return row


def device(at: datetime) -> Any:
    return rows.a_device(f"till {at}")


MAKE: dict[str, Callable[[datetime], Model]] = {
    "telemetry": lambda at: TelemetryLog.objects.create(type="metrics", timestamp=at, processed_at=at),
    "reports of devices": lambda at: DeviceReport.objects.create(
        device=device(at), kind="log", text="", timestamp=at, stored_at=at
    ),
    "devices' own jobs": lambda at: DeviceJob.objects.create(
        device=device(at), action="scan", timestamp=at, created_at=at
    ),
    "commands": command,
    "online spans": span,
    "gate spans": gate,
    "audit log": lambda at: moved(AuditLog.objects.create(actor="system", action="did", object_type=""), at=at),
    "admin's history": lambda at: LogEntry.objects.create(
        user=User.objects.get_or_create(username="ann")[0], action_flag=1, action_time=at
    ),
    "sign-ins": lambda at: moved(AccessLog.objects.create(username="ann"), attempt_time=at),
    "failed sign-ins": lambda at: moved(
        AccessAttempt.objects.create(username=f"ann {at}", failures_since_start=1), attempt_time=at
    ),
    "alerts": alert,
    "refused registrations": lambda at: RefusedRegistration.objects.create(hour=at, why="register 403"),
}


def rule(name: str) -> retention.Rule:
    [found] = [rule for rule in retention.rules() if rule.name == name]
    return found


def delete(name: str) -> int:
    return sum(retention.delete_old(rule(name), clocks.db_now(), PACE))


def test_every_rule_is_tried_here() -> None:
    assert {rule.name for rule in retention.rules()} == MAKE.keys()


@pytest.mark.parametrize("name", MAKE)
def test_what_is_older_than_its_rule_goes_and_what_is_younger_stays(name: str) -> None:
    now, days = clocks.db_now(), timedelta(days=rule(name).days)
    for hours in range(5):
        MAKE[name](now - days - timedelta(hours=5 - hours))
    young = MAKE[name](now - days + timedelta(hours=1))

    gone = delete(name)

    assert gone == 5
    assert list(type(young)._default_manager.all()) == [young]


@pytest.mark.parametrize("name", [name for name in MAKE if "spans" not in name])
def test_nothing_goes_where_days_are_0(name: str, settings: Settings) -> None:
    settings.DEVICE_DATA_DAYS = settings.AUDIT_DAYS = 0
    MAKE[name](clocks.db_now() - YEARS)

    assert delete(name) == 0
    assert not rule(name).old(clocks.db_now()).exists()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("online spans", lambda at: span(at, closed_at=None)),
        ("gate spans", lambda at: gate(at, closed_at=None)),
        ("alerts", lambda at: alert(at, closed_at=None)),
        ("commands", lambda at: command(at, status="sent")),
        ("commands", lambda at: command(at, idempotency_key=str(at))),
    ],
)
def test_what_has_not_ended_stays_and_hides_nothing_behind_it(name: str, make: Callable[[datetime], Model]) -> None:
    at = clocks.db_now() - YEARS
    standing = [make(at + timedelta(hours=hours)) for hours in range(3)]
    MAKE[name](at + timedelta(days=1))

    gone = delete(name)

    assert gone == 1
    assert type(standing[0])._default_manager.count() == 3


def test_every_table_has_a_rule_or_is_known_to_need_none() -> None:
    """A table that is added later has to be thought of."""
    ruled = {rule.rows.model._meta.label for rule in retention.rules()}
    of_messages = {"delivery.PushNotificationLog", "delivery.DeliveryAttempt", "delivery.Receipt", "delivery.Job"}
    bounded = {
        "delivery.AlertNotice", "delivery.ApiKey", "delivery.Channel", "delivery.Device", "delivery.LastRun",
        "delivery.ProviderState", "delivery.Site", "delivery.SitePin", "delivery.Site_technicians",
    }  # fmt: skip
    swept = {"delivery.AddressChallenge", "delivery.Claim", "delivery.TelemetryBatch"}

    tables = {model._meta.label for model in apps.get_app_config("delivery").get_models(include_auto_created=True)}

    assert tables == {label for label in ruled if label.startswith("delivery.")} | of_messages | bounded | swept


# --- Orders
def an_old_job(**fields: Any) -> Job:
    at = clocks.db_now() - timedelta(days=40)
    ended: dict[str, Any] = {"status": "completed", "fanned_out_at": at, "completed_at": at}
    ended["frozen_progress"] = {"targeted": 0}
    return rows.a_job(now=at, **ended | fields)


def delete_jobs() -> int:
    return sum(retention.delete_jobs(clocks.db_now() - timedelta(days=30), PACE))


def test_an_order_goes_once_its_messages_are_gone() -> None:
    [message] = rows.messages(1)
    old = an_old_job()
    Job.objects.update(created_at=old.created_at, status="completed", frozen_progress={})
    young = rows.a_job(status="completed", frozen_progress={})

    gone = delete_jobs()

    assert gone == 1
    assert set(Job.objects.values_list("job_id", flat=True)) == {message.job_id, young.job_id}


@pytest.mark.parametrize(
    "fields", [{"idempotency_key": "still good"}, {"status": "paused"}, {"frozen_progress": None}], ids=str
)
def test_an_order_that_may_be_asked_for_stays(fields: dict[str, Any]) -> None:
    an_old_job(**fields)

    assert delete_jobs() == 0


def test_an_order_stays_until_its_retry_is_written() -> None:
    retry = rows.a_job(retry_of=an_old_job())
    before = delete_jobs()

    Job.objects.filter(pk=retry.pk).update(fanned_out_at=clocks.db_now())
    then = delete_jobs()

    retry.refresh_from_db()
    assert (before, then, retry.retry_of_id) == (0, 1, None)


def test_a_command_outlives_the_push_that_rang_for_it() -> None:
    rung = command(clocks.db_now(), wake_up=an_old_job())

    delete_jobs()

    rung.refresh_from_db()
    assert rung.wake_up_id is None


def test_a_key_whose_messages_are_gone_is_refused_and_orders_nothing() -> None:
    device = rows.a_device()
    once = jobs.once("key-1", "hello")
    order = jobs.Order(
        name="", target=jobs.Target(devices=[device.device_id]), payload={"title": "Hello"}, ordered_by="person:test"
    )
    jobs.accept_at_once(order, [device], once=once)
    PushNotificationLog.objects.all().delete()

    with pytest.raises(jobs.KeyReused, match="kept no longer"):
        jobs.accept_at_once(order, [device], once=once)

    assert not PushNotificationLog.objects.exists()


# --- What messages said
def wipe() -> int:
    now = clocks.db_now()
    return sum(retention.wipe_jobs(now, PACE)) + sum(retention.wipe_commands(now, PACE))


def a_job_that_ended(days: float, **fields: Any) -> Job:
    at = clocks.db_now() - timedelta(days=days)
    ended: dict[str, Any] = {"status": "completed", "fanned_out_at": at, "completed_at": at, "frozen_progress": {}}
    return rows.a_job(now=at, payload={"title": "Till 3", "body": "of Ann"}, **ended | fields)


def test_an_order_forgets_what_it_said_a_week_after_its_last_message_ended() -> None:
    a_week, six_days = a_job_that_ended(7.1), a_job_that_ended(6.9)

    wiped = wipe()

    a_week.refresh_from_db()
    six_days.refresh_from_db()
    assert (wiped, a_week.payload, a_week.wiped_at is None) == (1, {}, False)
    assert six_days.payload == {"title": "Till 3", "body": "of Ann"}
    assert wipe() == 0


@pytest.mark.parametrize(("name", "left"), [("Till 3", ""), ("Update 2.1", "Update 2.1")])
def test_the_name_goes_too_where_it_is_the_title(name: str, left: str) -> None:
    job = a_job_that_ended(8, name=name)

    wipe()

    job.refresh_from_db()
    assert job.name == left


def test_an_order_with_an_open_message_keeps_what_it_says() -> None:
    a_job_that_ended(8, frozen_progress=None)

    assert wipe() == 0


def test_what_was_wiped_cannot_be_retried() -> None:
    [row] = rows.messages(1)
    PushNotificationLog.objects.update(status="failed")
    at = clocks.db_now() - timedelta(days=8)
    Job.objects.update(status="completed", completed_at=at, frozen_progress={})
    wipe()

    again = job_control.retry_failed(Job.objects.get(job_id=row.job_id), reach=None, actor="person:test")

    assert again is None


@pytest.mark.parametrize(
    ("fields", "wiped"),
    [
        ({"status": "completed", "finished_at": 7.1}, True),
        ({"status": "completed", "finished_at": 6.9}, False),
        ({"status": "expired", "expired_at": 7.1}, True),
        ({"status": "sent"}, False),
    ],
    ids=str,
)
def test_a_command_forgets_what_was_to_be_done_a_week_after_its_end(fields: dict[str, Any], wiped: bool) -> None:
    now = clocks.db_now()
    moments = {name: now - timedelta(days=at) if name != "status" else at for name, at in fields.items()}
    made = command(now, payload={"run": "ls"}, result={"out": "till.db"}, **{"expired_at": None} | moments)

    wipe()

    made.refresh_from_db()
    assert ((made.payload, made.result) == (None, None)) is wiped


def test_sessions_go_when_they_have_ended() -> None:
    now = clocks.db_now()
    for number, minutes in enumerate([-3, -2, -1, 1]):
        Session.objects.create(session_key=str(number), expire_date=now + timedelta(minutes=minutes))

    assert sum(retention.delete_sessions(now, PACE)) == 3
    assert Session.objects.get().session_key == "3"
