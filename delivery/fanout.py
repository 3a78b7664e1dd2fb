"""Step 2: one log row per targeted device, chunk by chunk.

A chunk and the job's cursor are one transaction: killed anywhere and started again, it neither skips nor doubles.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from delivery import clocks, crash_points, credentials, gate, hints, routing, stopping
from delivery.models import Channel, Device, Job, PushNotificationLog, Status, setwise
from delivery.models.push_log_rows import NewRow

log = logging.getLogger(__name__)

TURN_S = 1.0


def fan_out() -> int:
    """Write chunks for about a second, always of the most urgent unfinished job; how many rows.

    A task for each chunk would cost a third of the time. Where only one can write, it is one chunk: others get a turn.
    """
    over_at = time.monotonic() + (TURN_S if setwise.many_write() else 0.0)
    rows = 0
    while (written := fan_out_chunk()) is not None:
        rows += written
        if time.monotonic() >= over_at or stopping.told():
            hints.wake_fanout()
            break
    return rows


def fan_out_chunk() -> int | None:
    """Write the next chunk of the most urgent unfinished job; how many rows. None where there is no such job but in
    other hands."""
    with transaction.atomic():
        job = Job.objects.to_fan_out().select_for_update(skip_locked=True).first()
        if job is None:
            return None
        now = clocks.db_now()
        devices = _next_devices(job)
        _write(job, devices, {}, now)
        if devices:
            Job.objects.advance(job.job_id, from_cursor=job.cursor, to_cursor=devices[-1])
        if len(devices) < settings.FANOUT_CHUNK:
            Job.objects.finish_fan_out(job.job_id, now)
        crash_points.passing("before_chunk_commit")
    crash_points.passing("after_chunk_commit")
    log.info("fanned out", extra={"job_id": job.job_id, "rows": len(devices)})
    return len(devices)


def write_all(job: Job, devices: Sequence[int], by: Mapping[int, int] | None = None) -> None:
    """All messages of a job that was just made, for these devices (row ids), in its transaction; hints for those to be
    sent.

    `by` names the channel (row id) that a device's (row id) message takes first, where not its primary one.
    """
    _write(job, devices, by or {}, job.created_at)


def write_rows(job: Job, devices: Sequence[Device], by: Mapping[int, int] | None = None) -> list[NewRow]:
    """`write_all`, and what it wrote."""
    write_all(job, [device.pk for device in devices], by)
    written = PushNotificationLog.objects.filter(job=job, device__in=devices).order_by("id")
    return [
        NewRow(
            row.message_id,
            row.device_id,
            row.site_id,
            row.provider,
            row.credential,
            row.channel_id,
            row.fallback_from,
            row.error_code if row.status == Status.SKIPPED else "",
        )
        for row in written
    ]


def _write(job: Job, devices: Sequence[int], by: Mapping[int, int], now: datetime) -> None:
    if not devices:
        return
    usable = configured()
    to_send = PushNotificationLog.objects.insert_for(
        devices,
        job_id=job.job_id,
        priority=job.priority,
        created_at=job.created_at,
        expires_at=job.expires_at,
        open_now=usable - gate.long_closed(now),
        usable=usable,
        by=by,
    )
    for provider, due in to_send.items():  # whoever was woken goes on while there is more: later chunks need no crowd
        hints.wake_sender(provider, 1 if job.cursor else hints.batches_for(due))


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


def _next_devices(job: Job) -> list[int]:
    """The devices (row ids) of the job behind its cursor, as they match now, in key order."""
    behind = targeted(job.target, job.reach).filter(pk__gt=job.cursor, pk__lte=job.last_device).order_by("pk")
    return list(behind.values_list("pk", flat=True)[: settings.FANOUT_CHUNK])
