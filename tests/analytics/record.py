"""Rows as the pipeline leaves them, and the same numbers counted in plain Python."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from random import Random
from uuid import UUID

from analytics import latency
from analytics.models import HourlyRollup
from delivery.models import DeliveryAttempt, Device, PushNotificationLog, Receipt, Site
from delivery.models.keys import new_message_id

PROVIDERS = ("fcm", "apns", "mqtt", "inbox")
REFUSALS = ("retry", "throttled", "address_gone", "rejected", "misconfigured")
FIELDS = (
    "ordered", "delivered", "late", "failed", "expired", "cancelled", "skipped", "handed_over", "fallback", "latency",
    "latency_sum_ms", "latency_count", "attempted", "accepted", "refused", "retries",
)  # fmt: skip
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
    return PushNotificationLog.objects.create(
        message_id=id_of(born_at or created_at),
        device=of,
        site_id=of.site_id,
        created_at=created_at,
        expires_at=created_at + timedelta(minutes=5),
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
            refuse(push, at, provider=rng.choice(PROVIDERS[:3]), outcome=rng.choice(REFUSALS))
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
    if status == "delivered" and rng.random() < 0.9:
        changes["latency_ms"] = int(rng.lognormvariate(6, 2))
    PushNotificationLog.objects.filter(pk=push.pk).update(**changes)


def counted() -> dict[tuple[datetime, str | None, str], dict[str, object]]:
    """Every rollup that stands, by hour, site and provider."""
    rows = HourlyRollup.objects.values("hour", "site_id", "provider", *FIELDS)
    return {(row["hour"], row["site_id"], row["provider"]): {field: row[field] for field in FIELDS} for row in rows}


def recounted() -> dict[tuple[datetime, str | None, str], dict[str, object]]:
    """The same from the raw rows, row by row."""
    counts: dict[tuple[datetime, str | None, str], Counter[str]] = {}
    refused: dict[tuple[datetime, str | None, str], Counter[str]] = {}
    latencies: dict[tuple[datetime, str | None, str], list[int]] = {}

    def add(
        moment: datetime, push: PushNotificationLog, provider: str, words: Iterable[str]
    ) -> tuple[datetime, str | None, str]:
        key = (moment.replace(minute=0, second=0, microsecond=0), push.site_id, provider)
        counts.setdefault(key, Counter()).update(words)
        return key

    for push in PushNotificationLog.objects.prefetch_related("attempts"):
        attempts = sorted(push.attempts.all(), key=lambda attempt: attempt.pk)
        first = attempts[0].provider if attempts else push.fallback_from or push.provider
        end = "late" if push.late else push.status
        words = ["ordered", *([end] if end not in ("pending", "sent") else [])]
        if push.sent_at or push.status == "delivered":
            words += ["handed_over", *(["fallback"] if push.fallback_from else [])]
        if push.sent_at:
            add(push.sent_at, push, push.provider, ["attempted", "accepted", *(["retries"] if attempts else [])])
        key = add(push.created_at, push, push.provider if push.sent_at else first, words)
        if push.status == "delivered" and push.latency_ms is not None:
            latencies.setdefault(key, []).append(push.latency_ms)
        for number, attempt in enumerate(attempts):
            key = add(attempt.started_at, push, attempt.provider, ["attempted", *(["retries"] if number else [])])
            refused.setdefault(key, Counter())[attempt.outcome] += 1
    return {
        key: {
            **{field: words[field] for field in FIELDS if field not in ("latency", "refused")},
            "latency": latency.histogram(latencies.get(key, [])),
            "latency_sum_ms": sum(latencies.get(key, [])),
            "latency_count": len(latencies.get(key, [])),
            "refused": dict(refused.get(key, {})),
        }
        for key, words in counts.items()
    }
