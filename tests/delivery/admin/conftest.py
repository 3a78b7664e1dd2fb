"""A signed-in administrator, and a small record to look at."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from delivery.models import (
    Alert,
    ApiKey,
    AuditLog,
    Channel,
    Connectivity,
    DeliveryAttempt,
    Device,
    DeviceCommand,
    DeviceJob,
    DeviceReport,
    Job,
    ProviderState,
    PushNotificationLog,
    Site,
    TelemetryLog,
)
from delivery.models.channel import address_hash
from delivery.models.keys import key_hash

ADDRESS = "a-registration-token-that-nobody-may-read"
KEY = "hp_the-key-of-the-till"
NOON = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"), backend=BACKEND)
    return client


@pytest.fixture
def technician(db: None) -> User:
    """May look at and change what the admin shows, at the sites given to them."""
    user = User.objects.create_user("tom", is_staff=True)
    wanted = Permission.objects.filter(content_type__app_label="delivery", codename__regex="^(view|change)_")
    user.user_permissions.set(wanted)
    return user


@pytest.fixture
def site(db: None) -> Site:
    return Site.objects.create(site_id="berlin-mitte", name="Berlin Mitte", timezone="Europe/Berlin")


@pytest.fixture
def till(site: Site) -> Device:
    return Device.objects.create(
        device_id="till-7",
        site=site,
        name="Till 7",
        lifecycle="active",
        key_hash=key_hash(KEY),
        capabilities={"fcm_token": ADDRESS},
    )


@pytest.fixture
def channel(till: Device) -> Channel:
    return Channel.objects.create(
        device=till, provider="fcm", address=ADDRESS, address_hash=address_hash(ADDRESS), registered_at=NOON
    )


@pytest.fixture
def job(db: None) -> Job:
    return Job.objects.create(
        name="Menu", target={"all": True}, payload={"title": "New menu"}, ttl_s=300, created_at=NOON, last_device=1,
        ordered_by="person:ada",
    )  # fmt: skip


@pytest.fixture
def push(till: Device, channel: Channel, job: Job) -> PushNotificationLog:
    return PushNotificationLog.objects.create(
        device=till, job=job, site_id=till.site_id, provider="fcm", credential="default", channel=channel, priority=1,
        status="sent", created_at=NOON, sent_at=NOON + timedelta(milliseconds=90),
        expires_at=NOON + timedelta(minutes=5),
    )  # fmt: skip


@pytest.fixture
def everything(push: PushNotificationLog, till: Device) -> None:
    """A row in every table that has a page."""
    DeliveryAttempt.objects.create(push=push, provider="fcm", started_at=NOON, took_ms=9, outcome="retry")
    Connectivity.objects.create(device=till, online_from=NOON, last_seen=NOON)
    TelemetryLog.objects.create(device=till, type="metrics", timestamp=NOON, processed_at=NOON)
    ProviderState.objects.create(provider="fcm")
    Alert.objects.open_or_repeat("breaker_open", "fcm/default", "12 of 20 attempts failed", NOON)
    ApiKey.objects.issue("tills", ["jobs:write"])
    command = {"command_type": "ping", "queued_by": "person:ada", "created_at": NOON, "expires_at": NOON}
    DeviceCommand.objects.create(device=till, result={"message": "<pong>"}, **command)
    DeviceReport.objects.create(device=till, kind="alert", text="<b>hot</b>", timestamp=NOON, stored_at=NOON)
    DeviceJob.objects.create(device=till, action="clean", timestamp=NOON, created_at=NOON)
    AuditLog.note("person:ada", "changed", till, till.device_id)
