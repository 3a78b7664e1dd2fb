"""All that is known of one device, given out and taken away."""

import json
import os
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from analytics.models import Zombie
from delivery import clocks, personal_data
from delivery.models import (
    Alert,
    AuditLog,
    Channel,
    Connectivity,
    Device,
    DeviceCommand,
    DeviceJob,
    DeviceReport,
    Job,
    PushNotificationLog,
    Receipt,
    TelemetryLog,
)
from delivery.models.keys import new_message_id
from delivery.models.push_log_rows import NewRow
from tests.delivery import rows

pytestmark = pytest.mark.django_db

HERS = "anns-phone-7"
SECRETS = ("Ann's phone", HERS, "token-of-ann", "dear Ann", "10.1.2.3", "she said")


def send(job: Job, *devices: Device) -> None:
    channels = {channel.device_id: channel.pk for channel in Channel.objects.all()}
    now = clocks.db_now()
    PushNotificationLog.objects.insert_rows(
        [NewRow(new_message_id(), d.device_id, None, "fcm", "default", channels.get(d.pk)) for d in devices],
        job_id=job.job_id, priority=2, created_at=now, expires_at=now + timedelta(minutes=5),
    )  # fmt: skip


@pytest.fixture
def hers() -> Device:
    """A person's phone, with a trace in every table; another device beside it."""
    now = clocks.db_now()
    ann = User.objects.create(username="ann")
    phone = rows.a_device(HERS, owner=ann, dna={"local_ip": "10.1.2.3"})
    Device.objects.filter(pk=phone.pk).update(name="Ann's phone")
    other = rows.a_device("till-1")
    channel = rows.a_channel(phone, "fcm", address="token-of-ann")
    own = rows.a_job(name="dear Ann", payload={"title": "dear Ann"}, target={"devices": [HERS]})
    send(own, phone)
    send(rows.a_job(name="to all", payload={"title": "to all"}, target={"devices": [HERS, "till-1"]}), phone, other)
    for push in PushNotificationLog.objects.filter(device=phone):
        Receipt.objects.create(push=push, status="failed", details={"error_message": "she said"}, created_at=now)
        push.attempts.create(provider="fcm", started_at=now, took_ms=1, outcome="retry", detail="she said")
    Connectivity.objects.create(device=phone, online_from=now, last_seen=now)
    DeviceReport.objects.create(device=phone, kind="log", text="she said", timestamp=now, stored_at=now)
    DeviceJob.objects.create(device=phone, action="she said", timestamp=now, created_at=now)
    TelemetryLog.objects.create(device=phone, type="log", message="she said", timestamp=now, processed_at=now)
    DeviceCommand.objects.create(
        device=phone, command_type="ping", payload={"say": "she said"}, queued_by="x", created_at=now, expires_at=now
    )
    Zombie.objects.create(
        device=phone, channel=channel, provider="fcm", found_at=now, last_seen=now, pushes=3, first_push_at=now,
        rung_at=now,
    )  # fmt: skip
    Alert.objects.create(
        kind="zombies", subject="site", text=f"Zombies: {HERS}, {HERS}7.", opened_at=now, last_seen_at=now
    )
    AuditLog.note("system", "queued a command", phone, "cmd-1", device_id=HERS)
    AuditLog.note("system", "provisioned", phone, HERS, site_id="site-1")
    AuditLog.note(f"device:{HERS}", "did", phone, "x")
    return Device.objects.get(pk=phone.pk)


def everything() -> str:
    """Every value of every table that is ours."""
    found: list[Any] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith(("delivery_", "analytics_", "push_")):
                cursor.execute(f'SELECT * FROM "{table}"')
                found += cursor.fetchall()
    return str(found)


def erase(device: Device) -> Device:
    personal_data.erase(device, by="system")
    return Device.objects.get(pk=device.pk)


def test_an_export_holds_what_is_known_and_no_key(hers: Device) -> None:
    said = StringIO()

    call_command("export_device", HERS, stdout=said)

    told = json.loads(said.getvalue())
    assert [secret for secret in SECRETS if secret not in said.getvalue()] == []
    assert told["device"]["device_id"] == HERS
    assert {job["name"] for job in told["content"]} == {"dear Ann", "to all"}
    assert [name for name, rows in told.items() if not rows] == ["challenges"]
    assert hers.key_hash not in said.getvalue()
    assert "till-1" not in said.getvalue(), "who else was sent it is nobody's business"


def test_an_export_to_a_file_is_for_its_owner_alone(hers: Device, tmp_path: Path) -> None:
    file = tmp_path / "ann.json"

    call_command("export_device", HERS, "--output", str(file))

    assert os.stat(file).st_mode & 0o777 == 0o600
    assert json.loads(file.read_text(encoding="utf-8"))["device"]["device_id"] == HERS
    with pytest.raises(CommandError, match="File exists"):
        call_command("export_device", HERS, "--output", str(file))


def test_nothing_of_it_is_left_anywhere(hers: Device) -> None:
    erase(hers)

    left = everything().replace(f"{HERS}7", "")
    assert [secret for secret in SECRETS if secret in left] == []


def test_its_messages_stay_for_the_numbers_under_a_name_that_means_nothing(hers: Device) -> None:
    erased = erase(hers)

    rows_left = PushNotificationLog.objects.filter(device=erased)
    assert rows_left.count() == 2
    assert erased.device_id.startswith("erased-")
    assert Zombie.objects.get().device_id == erased.device_id


def test_it_has_no_owner_no_key_and_no_open_channel(hers: Device) -> None:
    erased = erase(hers)

    assert (erased.owner, erased.key_hash, erased.lifecycle, erased.dna) == (None, "", "retired", {})
    assert not Channel.objects.usable().filter(device=erased).exists()


def test_what_is_on_its_way_is_called_off(hers: Device) -> None:
    erased = erase(hers)

    states = set(PushNotificationLog.objects.filter(device=erased).values_list("status", "error_code"))
    assert states == {("cancelled", "erased")}
    assert PushNotificationLog.objects.get(device__device_id="till-1").status == "pending"


def test_what_was_ordered_for_others_too_keeps_its_content(hers: Device) -> None:
    erase(hers)

    kept = Job.objects.get(name="to all")
    assert (kept.payload, kept.target) == ({"title": "to all"}, {"devices": ["till-1"]})


def test_that_it_was_erased_is_known(hers: Device) -> None:
    erased = erase(hers)

    assert AuditLog.objects.filter(action="erased", object_id=erased.device_id).exists()
    assert AuditLog.objects.get(action="provisioned").object_id == erased.device_id


def test_its_address_can_be_registered_by_another_device(hers: Device) -> None:
    erase(hers)

    again = rows.a_channel(rows.a_device("till-2"), "fcm", address="token-of-ann")

    assert Channel.objects.usable().get(provider="fcm") == again


def test_erasing_needs_a_yes(hers: Device) -> None:
    with pytest.raises(CommandError, match="cannot be undone"):
        call_command("erase_device", HERS)

    assert Device.objects.filter(device_id=HERS).exists()


def test_erasing_says_what_it_took_away(hers: Device) -> None:
    said = StringIO()

    call_command("erase_device", HERS, "--yes", stdout=said)

    assert "2 messages" in said.getvalue()
    assert not Device.objects.filter(device_id=HERS).exists()


@pytest.mark.parametrize("name", ["export_device", "erase_device"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(CommandError, match="There is no device nobody"):
        call_command(name, "nobody")
