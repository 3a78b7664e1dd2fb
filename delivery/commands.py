"""Commands for one device: a technician queues one, a push wakes the device, it fetches, takes and reports.

The queue is the record; the push is a doorbell, and it is called off once the device has come for what it rang for.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from delivery import clocks, jobs
from delivery.models import AuditLog, Channel, Device, DeviceCommand, Job, PushNotificationLog
from delivery.models.device import Lifecycle
from delivery.models.device_command import CommandStatus
from delivery.priority import Priority

log = logging.getLogger(__name__)

AT_ONCE = 50
MOST_WAITING = 200
"""So many commands may wait for one device."""
CHUNK = 2_000
FETCHED = "fetched"
"""The `error_code` of a wake-up that was called off because the device came by itself."""


class NotQueued(Enum):
    KEY_REUSED = "This Idempotency-Key was used for another command. Use a new key for a new command"
    NO_KEY = "This device has no key: it cannot fetch commands"
    NOT_IN_USE = "This device is suspended or retired"
    TOO_MANY = "Too many commands wait for this device already"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a technician wants a device to do."""

    command_type: str
    payload: dict[str, Any] | None
    queued_by: str
    reach: list[str] | None
    """The sites that the caller may send to; None: everything."""

    @property
    def body_hash(self) -> str:
        text = json.dumps([self.command_type, self.payload], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def queue(device: Device, wish: Wish, *, idempotency_key: str | None) -> DeviceCommand | NotQueued:
    """Commit a command and the push that wakes the device. The same key and wish give the same command again.

    Whether the owner granted it is the caller's question: `grants.missing`.
    """
    if idempotency_key is not None and (earlier := _earlier(wish, idempotency_key)) is not None:
        return _same(earlier, device, wish)
    if refusal := _refusal(device):
        return refusal
    try:
        with transaction.atomic():
            command = _create(device, wish, idempotency_key, clocks.db_now())
    except IntegrityError:
        raced = _earlier(wish, idempotency_key) if idempotency_key is not None else None
        if raced is None:
            raise
        return _same(raced, device, wish)
    log.info("command queued", extra={"command_id": command.command_id, "device_id": device.device_id})
    return command


def waiting_for(device: Device) -> list[DeviceCommand]:
    """What the device is to fetch, the oldest first, at most 50. Looking changes nothing."""
    return list(DeviceCommand.objects.waiting(clocks.db_now()).filter(device=device)[:AT_ONCE])


def take(command: DeviceCommand) -> bool:
    """The device has it and will do it. False: its time is over, or it has ended; a second time changes nothing."""
    with transaction.atomic():
        taken = DeviceCommand.objects.mark_sent(command.command_id, clocks.db_now())
        if taken:
            _stop_ringing(command)
    command.refresh_from_db()
    return command.status not in (CommandStatus.PENDING, CommandStatus.EXPIRED)


def finish(command: DeviceCommand, status: CommandStatus, *, executed_at: datetime | None, result: Any) -> None:
    """How it went, in the device's words. The first report wins; one that comes after its time still counts."""
    with transaction.atomic():
        done = DeviceCommand.objects.finish(
            command.command_id, status, executed_at=executed_at, result=result, now=clocks.db_now()
        )
        if done:
            _stop_ringing(command)
    command.refresh_from_db()
    if done:
        log.info("command ended", extra={"command_id": command.command_id, "device_id": command.device_id})


def expire() -> int:
    """End the commands whose time is over; how many."""
    expired = DeviceCommand.objects.expire(clocks.db_now(), limit=CHUNK)
    if expired:
        log.info("commands expired", extra={"rows": expired})
    return expired


def forget_idempotency_keys(before: datetime) -> int:
    """A key of that age may stand for another command."""
    return (
        DeviceCommand.objects.filter(created_at__lt=before).exclude(idempotency_key=None).update(idempotency_key=None)
    )


def _refusal(device: Device) -> NotQueued | None:
    if device.lifecycle in (Lifecycle.SUSPENDED, Lifecycle.RETIRED):
        return NotQueued.NOT_IN_USE
    if not device.has_key:
        return NotQueued.NO_KEY
    if DeviceCommand.objects.waiting(clocks.db_now()).filter(device=device).count() >= MOST_WAITING:
        return NotQueued.TOO_MANY
    return None


def _create(device: Device, wish: Wish, idempotency_key: str | None, now: datetime) -> DeviceCommand:
    command = DeviceCommand.objects.create(
        device=device,
        command_type=wish.command_type,
        payload=wish.payload,
        queued_by=wish.queued_by,
        idempotency_key=idempotency_key,
        body_hash=wish.body_hash,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.COMMAND_TTL_S),
    )
    AuditLog.note(wish.queued_by, "queued a command", command, command.command_id, device_id=device.device_id)
    if Channel.objects.usable().filter(device=device).exists():
        command.wake_up = _ring(device, command, wish)
        command.save(update_fields=["wake_up"])
    return command


def _ring(device: Device, command: DeviceCommand, wish: Wish) -> Job:
    """Wake the device by its channels, over MQTT also on `devices/{device_id}/commands`. It shows nobody anything."""
    order = jobs.Order(
        name=f"Wake-up for {command.command_id}",
        target=jobs.Target(devices=[device.device_id]),
        payload={"title": "", "body": "", "data": doorbell(command), "data_only": True, "wake": True},
        priority=Priority.HIGH,
        ttl_s=settings.COMMAND_TTL_S,
        ordered_by=wish.queued_by,
        reach=wish.reach,
    )
    message = jobs.accept_at_once(order, [device])[device.device_id]
    return Job.objects.get(pushnotificationlog__message_id=message.message_id)


def doorbell(command: DeviceCommand) -> Mapping[str, str]:
    """What the push says: fetch your commands. What is to be done is for the device with its key alone."""
    return {"type": "command", "command_id": command.command_id}


def _stop_ringing(command: DeviceCommand) -> None:
    if command.wake_up is not None:
        PushNotificationLog.objects.cancel(command.wake_up.job_id, now=clocks.db_now(), code=FETCHED)


def _earlier(wish: Wish, idempotency_key: str) -> DeviceCommand | None:
    return DeviceCommand.objects.filter(queued_by=wish.queued_by, idempotency_key=idempotency_key).first()


def _same(earlier: DeviceCommand, device: Device, wish: Wish) -> DeviceCommand | NotQueued:
    same = earlier.body_hash == wish.body_hash and earlier.device_id == device.device_id
    return earlier if same else NotQueued.KEY_REUSED
