"""Step 2: one log row per targeted device, chunk by chunk.

A chunk and the job's cursor are one transaction: killed anywhere and started again, it neither skips nor doubles.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from delivery import clocks, crash_points, credentials, gate, hints, routing
from delivery.models import Channel, Device, Job, PushNotificationLog
from delivery.models.device import Lifecycle
from delivery.models.keys import new_message_id
from delivery.models.push_log import INBOX
from delivery.models.push_log_rows import NewRow

log = logging.getLogger(__name__)


def fan_out_chunk() -> int:
    """Write the next chunk of the most urgent unfinished job; how many rows. Jobs in other hands are passed over."""
    with transaction.atomic():
        job = Job.objects.to_fan_out().select_for_update(skip_locked=True).first()
        if job is None:
            return 0
        devices = _next_devices(job)
        rows = write_rows(job, devices)
        if devices:
            Job.objects.advance(job.job_id, from_cursor=job.cursor, to_cursor=devices[-1].pk)
        if len(devices) < settings.FANOUT_CHUNK:
            Job.objects.finish_fan_out(job.job_id, clocks.db_now())
        hints.wake_fanout()
        crash_points.passing("before_chunk_commit")
    crash_points.passing("after_chunk_commit")
    log.info("fanned out", extra={"job_id": job.job_id, "rows": len(rows)})
    return len(rows)


def write_rows(job: Job, devices: Sequence[Device], by: Mapping[int, int] | None = None) -> list[NewRow]:
    """One row for each of these devices, in the present transaction, and hints for those that can be sent.

    `by` names the channel (row id) that a device's (row id) message takes first, where not its primary one.
    """
    if not devices:
        return []
    ways = usable_ways([device.pk for device in devices])
    can_send, closed_too = available(), configured()
    rows = []
    for device in devices:
        order = _in_order(device, ways[device.pk], (by or {}).get(device.pk))
        way = routing.first_way(order, can_send)
        if way is None:  # all are closed: what waits behind the first of them may arrive yet
            way = routing.first_way(order, closed_too)
        rows.append(_row(device, order, way))
    PushNotificationLog.objects.insert_rows(
        rows,
        job_id=job.job_id,
        priority=job.priority,
        created_at=job.created_at,
        expires_at=job.expires_at,
    )
    to_send = Counter(row.provider for row in rows if not row.skipped and row.provider != INBOX)
    for provider, due in to_send.items():
        hints.wake_sender(provider, hints.batches_for(due))
    return rows


def usable_ways(device_ids: Sequence[int]) -> "defaultdict[int, list[routing.Way]]":
    """The active channels of these devices (row ids)."""
    ways: defaultdict[int, list[routing.Way]] = defaultdict(list)
    found = Channel.objects.usable().filter(device_id__in=device_ids)
    for device_id, channel_id, provider, credential, rank in found.values_list(
        "device_id", "id", "provider", "credential", "rank"
    ):
        ways[device_id].append(routing.Way(channel_id, provider, credential, rank))
    return ways


def configured() -> frozenset[tuple[str, str]]:
    """Every (provider, credential) that can be used here."""
    return frozenset((provider, name) for provider, named in credentials.usable().items() for name in named)


def available() -> frozenset[tuple[str, str]]:
    """The same, without those that have been closed for long."""
    return configured() - gate.long_closed(clocks.db_now())


def targeted(target: Mapping[str, Any], reach: Sequence[str] | None) -> QuerySet[Device]:
    """The devices that any list of the target names, or all, within the caller's reach (site ids; None: everywhere)."""
    named = Q()
    if not target.get("all"):
        for field, key in (
            ("site_id", "sites"),
            ("segment", "segments"),
            ("device_id", "devices"),
            ("owner_id", "users"),
        ):
            if target.get(key):
                named |= Q(**{f"{field}__in": target[key]})
        if target.get("retry_of"):
            missed = PushNotificationLog.objects.missed(target["retry_of"])
            named |= Q(device_id__in=missed.values("device_id"))
    within = Q() if reach is None else Q(site_id__in=reach)
    return Device.objects.filter(named & within)


def _next_devices(job: Job) -> list[Device]:
    """The devices of the job behind its cursor, as they match now, in key order."""
    behind = targeted(job.target, job.reach).filter(pk__gt=job.cursor, pk__lte=job.last_device).order_by("pk")
    fields = ("id", "device_id", "site_id", "capabilities", "lifecycle", "key_hash")
    return list(behind.only(*fields)[: settings.FANOUT_CHUNK])


def _in_order(device: Device, ways: Sequence[routing.Way], first: int | None) -> Sequence[routing.Way]:
    """The device's ways as routing orders them, but the channel `first` (row id) before all others."""
    return sorted(routing.in_order(ways, device.capabilities), key=lambda way: way.channel_id != first)


def _row(device: Device, order: Sequence[routing.Way], way: routing.Way | None) -> NewRow:
    skipped = ""
    if device.lifecycle in (Lifecycle.SUSPENDED, Lifecycle.RETIRED):
        skipped = f"device_{device.lifecycle}"
    elif way is None and not device.has_key:
        skipped = "no_channel"
    return NewRow(
        message_id=new_message_id(),
        device_id=device.device_id,
        site_id=device.site_id,
        provider=way.provider if way else INBOX,
        credential=way.credential if way else "",
        channel_id=way.channel_id if way else None,
        fallback_from=order[0].provider if order and way != order[0] and not skipped else "",
        skipped=skipped,
    )
