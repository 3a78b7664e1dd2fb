"""How a device's addresses become channels, and whose an address is.

An address belongs to one owner. From another owner it is refused without saying whose it is, unless the other device's
key or an answered challenge proves possession, or the caller manages both devices; then it moves, and the audit log
says so. Messages never move with it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from delivery import ranks, results
from delivery.in_flight import Attempt
from delivery.models import AddressChallenge, AuditLog, Channel, Device, PushNotificationLog
from delivery.models.channel import ChannelQuerySet, ChannelState, address_hash
from delivery.models.job import PAUSED_UNTIL


class NotRegistered(Enum):
    TAKEN = "This address is registered already. If it is yours, prove it with the old device's id and key (`proof`)"


@dataclass(frozen=True, slots=True)
class Registration:
    """One address, in the spelling of addresses.read."""

    provider: str
    address: str
    rank: int | None = None
    """None: the rank of what it replaces, else behind the device's other channels."""
    environment: str = ""
    credential: str | None = None
    """None: the one that the address has, else that of what it replaces, else `default`."""


@dataclass(frozen=True, slots=True)
class Registered:
    channel: Channel
    created: bool


def register(
    device: Device,
    new: Registration,
    *,
    actor: str,
    now: datetime,
    movable: QuerySet[Device],
    answered: AddressChallenge | None = None,
) -> Registered | NotRegistered:
    """Make the address the device's channel of this provider. Again: the same channel, active and fresh.

    `movable` holds the devices from which the address may be taken over besides those of the same owner; so may one
    whose challenge the caller `answered`, while it is open. What waits for the device before stays that device's.
    """
    try:
        with transaction.atomic():
            return _register(device, new, actor, now, movable, answered)
    except IntegrityError:  # somebody registered the same address at the same moment: it is there now
        with transaction.atomic():
            return _register(device, new, actor, now, movable, answered)


def _register(
    device: Device,
    new: Registration,
    actor: str,
    now: datetime,
    movable: QuerySet[Device],
    answered: AddressChallenge | None,
) -> Registered | NotRegistered:
    Device.objects.select_for_update().get(pk=device.pk)
    channel = Channel.objects.select_for_update().of_address(new.provider, new.address).first()
    before = channel.device if channel is not None and channel.device_id != device.pk else None
    if channel is not None and before is not None:
        if not _may_move(channel, device, movable) and not _is_proved(channel, answered, now):
            return NotRegistered.TAKEN
        AuditLog.note(actor, "moved an address", channel, str(channel.pk), to=device.device_id)
        channel.demoted, channel.own_rank = False, None
    if ranks.lift(device) and channel is not None and before is None:
        channel.refresh_from_db(fields=["rank", "own_rank"])
    replaced = _replace_others(device, new.provider, channel, now)
    created = channel is None
    channel = channel or Channel(
        provider=new.provider, address=new.address, address_hash=address_hash(new.address), device=device
    )
    channel.device = device
    if new.rank is not None or created or before is not None:
        channel.rank = new.rank if new.rank is not None else _rank(device, replaced)
    if new.credential is not None:
        channel.credential = new.credential
    elif created and replaced is not None:
        channel.credential = replaced.credential
    channel.environment = new.environment or channel.environment
    channel.registered_at = now
    channel.state = ChannelState.ACTIVE
    channel.disabled_at, channel.disabled_by, channel.disabled_code = None, "", ""
    channel.save()
    ranks.settle_device(device)
    channel.refresh_from_db(fields=["rank", "own_rank"])
    if before is not None:
        AddressChallenge.objects.filter(channel=channel).spend(now)
        _keep_messages(before, channel, now)
    return Registered(channel, created)


def _may_move(channel: Channel, device: Device, movable: QuerySet[Device]) -> bool:
    same_person = device.owner_id is not None and channel.device.owner_id == device.owner_id
    return same_person or movable.filter(pk=channel.device_id).exists()


def _is_proved(channel: Channel, answered: AddressChallenge | None, now: datetime) -> bool:
    """Asked again under the channel's lock: once the address has moved, no challenge about it counts any more."""
    return answered is not None and AddressChallenge.objects.open(now).filter(pk=answered.pk, channel=channel).exists()


def _keep_messages(before: Device, channel: Channel, now: datetime) -> None:
    """What waits on a channel that its device has lost: to the device's next channel, its inbox, or the end.

    Rows that a worker holds, and those of paused jobs, take the same way when they are drafted (sending.py).
    """
    own = PushNotificationLog.objects.filter(device_id=before.device_id, channel=channel)
    token = uuid4()
    rows = own.filter(expires_at__gt=now, expires_at__lt=PAUSED_UNTIL).take(
        token=token, until=now + timedelta(seconds=settings.LEASE_S)
    )
    results.write([Attempt(row, None, now, 0, channel_usable=False) for row in rows], token)
    if rows:
        results.end(token)


def _replace_others(device: Device, provider: str, kept: Channel | None, now: datetime) -> Channel | None:
    """A device has one address per provider: the older ones are disabled. Returns the first of them by rank."""
    others = Channel.objects.filter(device=device, provider=provider)
    if kept is not None:
        others = others.exclude(pk=kept.pk)
    replaced = list(others.usable().order_by("rank", "pk"))
    others.disable([channel.pk for channel in replaced], by="device", code="replaced", now=now)
    return replaced[0] if replaced else None


def _rank(device: Device, replaced: Channel | None) -> int:
    if replaced is not None:
        return replaced.rank
    others = Channel.objects.usable().filter(device=device)
    highest = others.aggregate(highest=Max("rank"))["highest"]
    return 0 if highest is None else min(highest + 1, 32_767)


def declare(
    device: Device, capabilities: dict[str, Any], *, actor: str, now: datetime, movable: QuerySet[Device]
) -> NotRegistered | None:
    """Keep what the agent declares. An `mqtt_client_id` makes sure that there is an MQTT channel."""
    with transaction.atomic():
        stored = Device.objects.select_for_update().get(pk=device.pk)
        stored.capabilities = {**stored.capabilities, **capabilities}
        stored.save(update_fields=["capabilities"])
        device.capabilities = stored.capabilities
    client_id = capabilities.get("mqtt_client_id")
    if not client_id:
        return None
    made = register(device, Registration("mqtt", client_id), actor=actor, now=now, movable=movable)
    return made if isinstance(made, NotRegistered) else None


def unregister(channels: QuerySet[Channel], *, by: str, now: datetime) -> int:
    """Active or parked -> disabled, because its owner said so."""
    return Channel.objects.disable(list(channels.values_list("pk", flat=True)), by=by, code="unregistered", now=now)


def of_person(person: User) -> ChannelQuerySet:
    return Channel.objects.filter(device__owner=person, device__key_hash="").select_related("device")
