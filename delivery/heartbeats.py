"""What a heartbeat leaves behind: when the device was last heard, its span online, and what its clock is off by."""

from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from delivery import clocks
from delivery.models import Connectivity, Device
from delivery.models.device import ONLINE_FOR

WRITE_EVERY = timedelta(seconds=15)


def record(device: Device, *, device_time: datetime | None, now: datetime) -> datetime:
    """Note that the device is there; the moment that is on record. Within 15 s of the last one nothing is written."""
    due = Q(last_heartbeat_at=None) | Q(last_heartbeat_at__lte=now - WRITE_EVERY)
    with transaction.atomic():
        written = Device.objects.filter(due, pk=device.pk).update(
            last_heartbeat_at=now, **(_clock(device, device_time, now) if device_time is not None else {})
        )
        if written:
            _extend_span(device, now)
            return now
    return device.last_heartbeat_at or now


def close_silent(now: datetime) -> int:
    """End the spans of devices that were not heard for 120 s. Twice is harmless."""
    return Connectivity.objects.filter(closed_at=None, last_seen__lt=now - ONLINE_FOR).update(
        closed_at=F("last_seen") + ONLINE_FOR
    )


def _clock(device: Device, device_time: datetime, now: datetime) -> dict[str, object]:
    difference_ms = round((now - device_time).total_seconds() * 1000)
    known = [clocks.Sample(**sample) for sample in device.clock_samples]
    samples = clocks.observe(known, clocks.Sample(at_s=now.timestamp(), difference_ms=difference_ms))
    return {"clock_samples": [asdict(sample) for sample in samples], "clock_offset_ms": clocks.offset_ms(samples)}


def _extend_span(device: Device, now: datetime) -> None:
    spans = Connectivity.objects.filter(device=device, closed_at=None)
    if spans.filter(last_seen__gte=now - ONLINE_FOR).update(last_seen=now):
        return
    spans.update(closed_at=F("last_seen") + ONLINE_FOR)
    try:
        with transaction.atomic():
            Connectivity.objects.create(device=device, online_from=now, last_seen=now)
    except IntegrityError:  # another request opened it this moment
        return
