"""Rows to test with: a site, devices, channels, a job, messages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from delivery import clocks
from delivery.models import Channel, Claim, Device, Job, PushNotificationLog, Site
from delivery.models.channel import address_hash
from delivery.models.keys import key_hash, new_message_id
from delivery.models.push_log_rows import Claimed, NewRow
from delivery.priority import Priority

LEASE = timedelta(seconds=60)


def a_site(site_id: str = "site-1", **fields: Any) -> Site:
    return Site.objects.get_or_create(site_id=site_id, defaults={"name": f"Site {site_id}", **fields})[0]


def a_device(device_id: str = "till-1", *, site: Site | None = None, key: str = "key", **fields: Any) -> Device:
    """A device with a key (`key=""`: without), active, at `site`."""
    return Device.objects.create(
        device_id=device_id,
        site=site,
        name=device_id,
        lifecycle=fields.pop("lifecycle", "active"),
        key_hash=key_hash(key) if key else "",
        **fields,
    )


def a_channel(device: Device, provider: str = "simulation", rank: int = 0, **fields: Any) -> Channel:
    address = fields.pop("address", f"{provider}-{device.device_id}")
    return Channel.objects.create(
        device=device,
        provider=provider,
        rank=rank,
        address=address,
        address_hash=address_hash(address),
        registered_at=fields.pop("registered_at", clocks.db_now()),
        **fields,
    )


def a_job(*, now: datetime | None = None, priority: Priority = Priority.NORMAL, ttl_s: int = 300, **fields: Any) -> Job:
    return Job.objects.create(
        name=fields.pop("name", "a job"),
        target=fields.pop("target", {"all": True}),
        payload=fields.pop("payload", {"title": "Hello", "body": "World", "data": {}}),
        priority=priority,
        ttl_s=ttl_s,
        created_at=now or clocks.db_now(),
        last_device=fields.pop("last_device", 10**9),
        ordered_by="person:test",
        **fields,
    )


def end_leases() -> None:
    """Whoever holds messages is taken for dead by the next sweep."""
    now = clocks.db_now()
    PushNotificationLog.objects.exclude(claim_token=None).update(claimed_until=now)
    Claim.objects.update(claimed_until=now)


def messages(
    count: int = 1,
    *,
    provider: str = "simulation",
    priority: Priority = Priority.NORMAL,
    age_s: float = 0.0,
    ttl_s: int = 300,
    prefix: str = "till",
    key: str = "key",
) -> list[PushNotificationLog]:
    """Pending messages, each for a device of its own, ordered `age_s` ago."""
    created_at = clocks.db_now() - timedelta(seconds=age_s)
    job = a_job(now=created_at, priority=priority, ttl_s=ttl_s, fanned_out_at=created_at, status="running")
    rows = []
    for number in range(count):
        device = a_device(f"{prefix}-{job.pk}-{number}", key=key)
        channel = a_channel(device, provider)
        rows.append(NewRow(new_message_id(), device.device_id, None, provider, "default", channel.pk))
    PushNotificationLog.objects.insert_rows(
        rows,
        job_id=job.job_id,
        priority=priority,
        created_at=created_at,
        expires_at=created_at + timedelta(seconds=ttl_s),
    )
    return list(PushNotificationLog.objects.filter(job=job).order_by("id"))


def claim(
    token: Any,
    *,
    limit: int = 100,
    provider: str = "simulation",
    priority: Priority = Priority.NORMAL,
    at_s: float = 0.0,
) -> list[Claimed]:
    """Claim as a worker would, `at_s` seconds from now."""
    now = clocks.db_now() + timedelta(seconds=at_s)
    return PushNotificationLog.objects.claim(
        provider, "default", [priority], limit=limit, token=token, now=now, until=now + LEASE
    )


def ids(rows: Sequence[PushNotificationLog]) -> set[int]:
    return {row.pk for row in rows}
