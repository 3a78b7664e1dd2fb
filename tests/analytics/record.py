"""Rows as the pipeline leaves them, and the same numbers counted in plain Python."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from random import Random
from uuid import UUID

from analytics import recount
from analytics.models import HourlyRollup
from analytics.recount import Key
from delivery.models import DeliveryAttempt, Device, PushNotificationLog, Receipt, Site
from delivery.models.keys import new_message_id

PROVIDERS = ("fcm", "apns", "mqtt", "inbox")
OUTCOMES = ("retry", "throttled", "address_gone", "rejected", "misconfigured", "accepted")
_numbers = count(1)


def id_of(moment: datetime) -> UUID:
    """A message or receipt id as it would have been made then."""
    random_bits = new_message_id().int & (1 << 80) - 1
    return UUID(int=int(moment.timestamp() * 1000) << 80 | random_bits)


def device(site: Site | None = None) -> Device:
    return Device.objects.create(device_id=f"till-{next(_numbers)}", site=site, lifecycle="active")


def message(
    of: Device, created_at: datetime, *, born_at: datetime | None = None, **fields: object
) -> PushNotificationLog:
    values: dict[str, object] = {"provider": "fcm", "credential": "default", "priority": 2, "status": "pending"}
    values["expires_at"] = created_at + timedelta(minutes=5)
    return PushNotificationLog.objects.create(
        message_id=id_of(born_at or created_at),
        device=of,
        site_id=of.site_id,
        created_at=created_at,
        **values | fields,
    )


def refuse(
    push: PushNotificationLog, at: datetime, *, provider: str = "fcm", outcome: str = "retry"
) -> DeliveryAttempt:
    return DeliveryAttempt.objects.create(push=push, provider=provider, started_at=at, took_ms=12, outcome=outcome)


def acknowledge(push: PushNotificationLog, at: datetime, **fields: object) -> None:
    PushNotificationLog.objects.filter(pk=push.pk).update(status="delivered", received_at=at, acked_at=at, **fields)
    Receipt.objects.create(id=id_of(at), push=push, status="delivered", created_at=at)


def random_day(rng: Random, start: datetime, hours: int, messages: int) -> None:
    """Messages in every state, with attempts that were refused, at two sites and at none."""
    devices = [device(site) for site in (*_sites(rng), None) for _ in range(3)]
    for _ in range(messages):
        created_at = start + timedelta(seconds=rng.uniform(0, hours * 3600))
        of = rng.choice(devices)
        push = message(of, created_at, provider=rng.choice(PROVIDERS), fallback_from=rng.choice(["", "", "wns"]))
        at = created_at
        for _ in range(rng.choice([0, 0, 0, 1, 2, 4])):
            at += timedelta(seconds=rng.expovariate(1 / 600))
            refuse(push, at, provider=rng.choice(PROVIDERS[:3]), outcome=rng.choice(OUTCOMES))
        _end(rng, push, at)


def _sites(rng: Random) -> list[Site]:
    return [Site.objects.create(site_id=f"site-{next(_numbers)}-{rng.random()}", name="A site") for _ in range(2)]


def _end(rng: Random, push: PushNotificationLog, at: datetime) -> None:
    status = rng.choice(["pending", "sent", "delivered", "delivered", "delivered", "failed", "expired", "cancelled"])
    changes: dict[str, object] = {"status": status}
    if status == "sent" or rng.random() < 0.6:
        changes["sent_at"] = at + timedelta(seconds=rng.expovariate(1 / 900))
    if status == "expired" or (status == "delivered" and rng.random() < 0.2):
        changes["expired_at"] = push.expires_at
    if status == "delivered":
        changes["acked_at"] = at + timedelta(seconds=rng.expovariate(1 / 1800))
        changes["clock_skewed"] = rng.random() < 0.1
    if status == "delivered" and rng.random() < 0.3:
        changes["opened_at"] = at + timedelta(seconds=rng.expovariate(1 / 1800))
        changes["clicked_at"] = rng.choice([None, changes["opened_at"]])
    if status in ("failed", "expired", "cancelled") and rng.random() < 0.7:
        changes["verdict"] = rng.choice(["unknown", "uplink_down", "too_late"])
    if "sent_at" in changes and rng.random() < 0.9:
        changes["handoff_ms"] = int(rng.lognormvariate(4, 1))
        changes["accepted_by"] = rng.choice(["", "", "", *PROVIDERS[:3]])
    if "sent_at" in changes and status == "delivered" and not changes["clock_skewed"]:
        changes["latency_ms"] = int(rng.lognormvariate(6, 2))
    PushNotificationLog.objects.filter(pk=push.pk).update(**changes)


def counted() -> dict[datetime, dict[Key, dict[str, object]]]:
    """Every rollup that stands, by hour, site and provider."""
    return {hour: recount.as_stored(hour) for hour in _hours(HourlyRollup.objects.values_list("hour", flat=True))}


def recounted() -> dict[datetime, dict[Key, dict[str, object]]]:
    """The same from the raw rows, row by row."""
    moments = [
        *PushNotificationLog.objects.values_list("created_at", flat=True),
        *PushNotificationLog.objects.exclude(sent_at=None).values_list("sent_at", flat=True),
        *DeliveryAttempt.objects.values_list("started_at", flat=True),
    ]
    last_sent = recount.last_sent()
    return {hour: recount.of_hour(hour, last_sent) for hour in _hours(moments)}


def _hours(moments: Iterable[datetime | None]) -> list[datetime]:
    return sorted({moment.replace(minute=0, second=0, microsecond=0) for moment in moments if moment})
