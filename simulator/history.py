"""A day that was: messages of the last hours, taken through the pipeline's own verbs with the times that they had.

It is a script with known causes, for first looks at Push Health. The devices in it were retired and taken away, so that
nothing else counts them: the fleet that runs now is another. What happened, hour by hour:

- everywhere: a job every 20 minutes, delivered in a second or two, faster over MQTT than over the others;
- one site: its uplink was cut all afternoon, so that all its devices were silent and its messages expired;
- one site: slow Wi-Fi in the evening, delivered but late to arrive;
- FCM answered 503 for an hour: MQTT took over where a device has it, the rest expired;
- one device refused notifications for some hours.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet

from delivery.models import Connectivity, DeliveryAttempt, Device, Job, PushNotificationLog, Site
from delivery.models.device import Lifecycle
from delivery.models.push_log_rows import Again, Arrived, Claimed, Failed, NewRow, Refused, Sent
from delivery.outcomes import OutcomeKind
from delivery.priority import Priority
from simulator.fleet.orders import ORDERS

OLD = "-replaced-"
EVERY = timedelta(minutes=20)
TTL = timedelta(minutes=5)
LEASE = timedelta(seconds=60)
FALLBACK_AFTER = timedelta(seconds=10)
"""Of tries in vain."""
PROVIDERS = ("fcm", "fcm", "apns", "wns", "web_push", "mqtt", "mqtt")
"""Of the devices of each site, in turn; every second FCM device listens on MQTT, too."""
MEDIAN_MS = {"fcm": 620, "apns": 540, "wns": 780, "web_push": 700, "mqtt": 190}
HANDOFF_MS = {"fcm": 85, "apns": 60, "wns": 140, "web_push": 110, "mqtt": 6}
ENDED_AGO_H = 4.0
"""About so many hours ago the afternoon without uplink was over: the site is chosen by its time zone."""
CUT, SLOW = (time(13, 10), time(17, 30)), (time(18, 0), time(21, 0))
"""On the site's own clock."""
FCM_DOWN_H, REFUSING_H = 9.0, (7.0, 2.5)
"""So many hours ago FCM was out, for one hour; and from when until when a device refused."""


@dataclass(frozen=True, slots=True)
class Day:
    """What goes wrong, and when."""

    cut_site: str
    cut: tuple[datetime, datetime]
    slow_site: str
    slow: tuple[datetime, datetime]
    fcm_down: tuple[datetime, datetime]
    refusing: str
    """A device."""
    refused: tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Old:
    """A device of that day."""

    device: Device
    provider: str
    has_mqtt: bool


@transaction.atomic
def write(sites: Sequence[Site], now: datetime, hours: int, rng: Random) -> int:
    """Returns the number of messages; none where the log holds some already."""
    if PushNotificationLog.objects.exists() or not sites:
        return 0
    devices = [_device(site, number) for site in sites for number in range(len(PROVIDERS))]
    day = plan(sites, devices, now)
    _spans(devices, day, now, hours)
    at = now - timedelta(hours=hours)
    while at < now - TTL - timedelta(minutes=5):
        at += timedelta(seconds=rng.uniform(0.7, 1.3) * EVERY.total_seconds())
        _job(devices, day, at, rng)
    return PushNotificationLog.objects.count()


def take_away(devices: QuerySet[Device]) -> int:
    """From their sites, once all has been judged: a job for a site would skip each of them."""
    return devices.filter(lifecycle=Lifecycle.RETIRED, device_id__contains=OLD).update(site=None)


def plan(sites: Sequence[Site], devices: Sequence[Old], now: datetime) -> Day:
    ended = now - timedelta(hours=ENDED_AGO_H)
    cut = min(sites, key=lambda site: abs(_last(site, *CUT, now)[1] - ended))
    others = [site for site in sites if site != cut] or sites
    down = now - timedelta(hours=FCM_DOWN_H)
    return Day(
        cut_site=cut.site_id,
        cut=_last(cut, *CUT, now),
        slow_site=others[-1].site_id,
        slow=_last(others[-1], *SLOW, now),
        fcm_down=(down, down + timedelta(hours=1)),
        refusing=next((old.device.device_id for old in devices if old.device.site_id == others[0].site_id), ""),
        refused=(now - timedelta(hours=REFUSING_H[0]), now - timedelta(hours=REFUSING_H[1])),
    )


def _last(site: Site, begin: time, end: time, now: datetime) -> tuple[datetime, datetime]:
    """The last of these hours of a day that are over, on the clock of the site."""
    zone = ZoneInfo(site.timezone)
    day = now.astimezone(zone).date()
    if datetime.combine(day, end, zone) > now:
        day -= timedelta(days=1)
    return datetime.combine(day, begin, zone).astimezone(UTC), datetime.combine(day, end, zone).astimezone(UTC)


def _device(site: Site, number: int) -> Old:
    device = Device.objects.create(
        device_id=f"{site.site_id}{OLD}{number + 1}",
        site=site,
        name=f"Replaced till {number + 1}",
        device_type="pos_terminal",
        lifecycle=Lifecycle.RETIRED,
    )
    return Old(device, PROVIDERS[number], number % 2 == 1)


def _spans(devices: Sequence[Old], day: Day, now: datetime, hours: int) -> None:
    """When each was online: all the time, but for the site without its uplink."""
    first = now - timedelta(hours=hours + 1)
    spans = []
    for old in devices:
        times = [(first, now)]
        if old.device.site_id == day.cut_site:
            times = [(first, day.cut[0]), (day.cut[1], now)]
        spans += [Connectivity(device=old.device, online_from=a, last_seen=b, closed_at=b) for a, b in times if a < b]
    Connectivity.objects.bulk_create(spans)


def _job(devices: Sequence[Old], day: Day, at: datetime, rng: Random) -> None:
    """One job for all, from its order to the end of each of its messages."""
    order = rng.choice(ORDERS)
    job = Job.objects.create(
        name=order.name,
        target={"all": True},
        payload={"title": order.name, "body": order.body, "data": order.data},
        priority=Priority.NORMAL,
        ttl_s=int(TTL.total_seconds()),
        created_at=at,
        last_device=max(old.device.pk for old in devices),
        ordered_by="key:demo",
    )
    by_id = {old.device.device_id: old for old in devices}
    rows = [
        NewRow(_id(at, rng), name, old.device.site_id, old.provider, "default", None) for name, old in by_id.items()
    ]
    log = PushNotificationLog.objects
    log.insert_rows(rows, job_id=job.job_id, priority=job.priority, created_at=at, expires_at=at + TTL)
    Job.objects.finish_fan_out(job.job_id, at)
    acks: defaultdict[datetime, list[Arrived]] = defaultdict(list)
    for provider in sorted(set(PROVIDERS)):
        _send(provider, by_id, day, at + timedelta(milliseconds=rng.uniform(20, 300)), acks, rng)
    _send("mqtt", by_id, day, at + FALLBACK_AFTER, acks, rng)
    for second in sorted(acks):
        log.mark_delivered(acks[second], now=second)
    log.expire(at + TTL, limit=10_000)


def _send(
    provider: str, by_id: dict[str, Old], day: Day, at: datetime, acks: dict[datetime, list[Arrived]], rng: Random
) -> None:
    """A batch of one provider, as a worker would: claim, then write down what came of each."""
    log = PushNotificationLog.objects
    token = uuid.UUID(int=rng.getrandbits(128))
    held = log.claim(provider, "default", [Priority.NORMAL], limit=10_000, token=token, now=at, until=at + LEASE)
    if provider == "fcm" and day.fcm_down[0] <= at < day.fcm_down[1]:
        _refused(held, by_id, at, token)
        return
    took_ms = {row.id: max(1, int(rng.lognormvariate(0, 0.3) * HANDOFF_MS[provider])) for row in held}
    log.mark_sent([Sent(row.id, at, f"demo-{row.id}", "", None, took_ms[row.id]) for row in held], token=token)
    refusals = [Refused(row.message_id, row.device_id, "permission_denied", "notifications are switched off")
                for row in held if row.device_id == day.refusing and day.refused[0] <= at < day.refused[1]]  # fmt: skip
    log.mark_failed_by_device(refusals, now=at + timedelta(seconds=1))
    refused = {refusal.message_id for refusal in refusals}
    for row in (row for row in held if row.message_id not in refused):
        old = by_id[row.device_id]
        latency_ms = took_ms[row.id] + rng.lognormvariate(0, 0.45) * MEDIAN_MS[provider]
        if old.device.site_id == day.slow_site and day.slow[0] <= at < day.slow[1]:
            latency_ms *= rng.uniform(3, 12)
        silent = old.device.site_id == day.cut_site and day.cut[0] <= at < day.cut[1]
        if silent or rng.random() < 0.002:
            continue
        received_at = at + timedelta(milliseconds=latency_ms)
        acked_at = received_at.replace(microsecond=0) + timedelta(seconds=1)
        acks[acked_at].append(Arrived(row.message_id, row.device_id, received_at, True, None, None))


def _refused(held: Sequence[Claimed], by_id: dict[str, Old], at: datetime, token: uuid.UUID) -> None:
    """503, three times; then MQTT for those that listen there, and the end for the others."""
    DeliveryAttempt.objects.bulk_create(
        DeliveryAttempt(
            push_id=row.id, provider="fcm", started_at=at + timedelta(seconds=4 * number), took_ms=40,
            outcome=OutcomeKind.RETRY.value, code="UNAVAILABLE", detail="The service is currently unavailable.",
        )
        for row in held for number in range(3)
    )  # fmt: skip
    again = [row for row in held if by_id[row.device_id].has_mqtt]
    failed = [row for row in held if not by_id[row.device_id].has_mqtt]
    due_at = at + FALLBACK_AFTER - timedelta(seconds=1)
    moved = [Again(row.id, "mqtt", "default", None, due_at, 0, "fcm", "UNAVAILABLE", "") for row in again]
    log = PushNotificationLog.objects
    log.mark_due_again(moved, token=token)
    log.mark_failed([Failed(row.id, "UNAVAILABLE", "no other channel") for row in failed], token=token)


def _id(at: datetime, rng: Random) -> uuid.UUID:
    """Of version 7, as it would have been made then."""
    value = int(at.timestamp() * 1000) << 80 | 0x7 << 76 | rng.getrandbits(12) << 64 | 0b10 << 62 | rng.getrandbits(62)
    return uuid.UUID(int=value)
