"""How a device's addresses become channels, and whose an address is.

An address belongs to one owner. From another owner it is refused without saying whose it is, unless the other device's
key proves possession, or the caller manages both devices; then it moves, and the audit log says so.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from delivery.models import AuditLog, Channel, Device
from delivery.models.channel import ChannelQuerySet, ChannelState, address_hash


class NotRegistered(Enum):
    TAKEN = "This address is registered already. Prove that it is yours: send the old device's id and key as `proof`"


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
    device: Device, new: Registration, *, actor: str, now: datetime, movable: QuerySet[Device]
) -> Registered | NotRegistered:
    """Make the address the device's channel of this provider. Again: the same channel, active and fresh.

    `movable` holds the devices from which the address may be taken over besides those of the same owner.
    """
    try:
        with transaction.atomic():
            return _register(device, new, actor=actor, now=now, movable=movable)
    except IntegrityError:  # somebody registered the same address at the same moment: it is there now
        with transaction.atomic():
            return _register(device, new, actor=actor, now=now, movable=movable)


def _register(
    device: Device, new: Registration, *, actor: str, now: datetime, movable: QuerySet[Device]
) -> Registered | NotRegistered:
    Device.objects.select_for_update().get(pk=device.pk)
    channel = Channel.objects.select_for_update().of_address(new.provider, new.address).first()
    if channel is not None and channel.device_id != device.pk:
        if not _may_move(channel, device, movable):
            return NotRegistered.TAKEN
        AuditLog.note(actor, "moved an address", channel, str(channel.pk), to=device.device_id)
    replaced = _replace_others(device, new.provider, channel, now)
    created = channel is None
    channel = channel or Channel(
        provider=new.provider, address=new.address, address_hash=address_hash(new.address), device=device
    )
    moved = channel.device_id != device.pk
    channel.device = device
    if new.rank is not None or created or moved:
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
    return Registered(channel, created)


def _may_move(channel: Channel, device: Device, movable: QuerySet[Device]) -> bool:
    same_person = device.owner_id is not None and channel.device.owner_id == device.owner_id
    return same_person or movable.filter(pk=channel.device_id).exists()


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
