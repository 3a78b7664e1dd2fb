"""How a device comes to be known, gets its key, and says who it is. Its channels: channels.py."""

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from delivery.models import AuditLog, Device, Site
from delivery.models.device import Lifecycle
from delivery.models.keys import key_hash, key_matches, new_key

PREVIOUS_KEY_LIVES = timedelta(hours=24)


class NotProvisioned(Enum):
    NO_SITE = "no such site"
    WRONG_KEY = "wrong bootstrap key"
    NAME_TAKEN = "name taken"


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a new device says when it asks for its key."""

    site_id: str
    bootstrap_key: str
    name: str
    device_type: str
    os_details: Any
    source: str


@dataclass(frozen=True, slots=True)
class Provisioned:
    device: Device
    key: str
    epoch_id: str
    """A new one with each key: it tells apart two lives of one device."""


def provision(said: Introduction, *, on_this_machine: bool) -> Provisioned | NotProvisioned:
    """Give a new device its key. The same site, name and bootstrap key get a fresh one while the old was never used:
    the first answer may have been lost. Of two that ask at once each gets an answer, and only the last key works."""
    site = Site.objects.filter(site_id=said.site_id).first()
    if site is None:
        return NotProvisioned.NO_SITE
    if not _opens(said.bootstrap_key, site, on_this_machine=on_this_machine):
        return NotProvisioned.WRONG_KEY
    key, epoch_id = new_key("hpd"), str(uuid.uuid4())
    device = _create(site, said, key, epoch_id) or _renew(site, said, key, epoch_id)
    return Provisioned(device, key, epoch_id) if device is not None else NotProvisioned.NAME_TAKEN


def _opens(bootstrap_key: str, site: Site, *, on_this_machine: bool) -> bool:
    emulator = settings.EMULATOR_BOOTSTRAP_KEY if settings.DEBUG and on_this_machine else ""
    by_emulator = key_matches(bootstrap_key, key_hash(emulator) if emulator else "")
    return key_matches(bootstrap_key, site.bootstrap_key_hash) or by_emulator


def _create(site: Site, said: Introduction, key: str, epoch_id: str) -> Device | None:
    """None where the site has a device of this name."""
    try:
        with transaction.atomic():
            device = Device.objects.create(
                device_id=f"dev-{secrets.token_hex(8)}",
                site=site,
                name=said.name,
                device_type=said.device_type,
                dna={
                    "os_details": said.os_details,
                    "source": said.source,
                    "epoch_id": epoch_id,
                    "provisioned_with": _fingerprint(said.bootstrap_key),
                },
                key_hash=key_hash(key),
            )
            AuditLog.note("system", "provisioned", device, device.device_id, site_id=site.site_id)
            return device
    except IntegrityError:
        return None


def _renew(site: Site, said: Introduction, key: str, epoch_id: str) -> Device | None:
    """The guard excludes the first use of the old key, which another request may be making this moment."""
    with transaction.atomic():
        found = Device.objects.select_for_update().filter(site=site, name=said.name).first()
        if found is None or found.dna.get("provisioned_with") != _fingerprint(said.bootstrap_key):
            return None
        never_used = Device.objects.filter(pk=found.pk, key_used_at=None, lifecycle=Lifecycle.PENDING)
        renewed = never_used.exclude(key_hash="").update(
            key_hash=key_hash(key), dna={**found.dna, "epoch_id": epoch_id}
        )
        if not renewed:
            return None
        AuditLog.note("system", "provisioned again", found, found.device_id, site_id=site.site_id)
        return found


def _fingerprint(bootstrap_key: str) -> str:
    return key_hash(bootstrap_key)[:16]


def issue_key(device: Device, *, actor: str, now: datetime) -> str:
    """A new key for a known device. The old one stays good for 24 h, so that nobody has to be quick."""
    key = new_key("hpd")
    with transaction.atomic():
        Device.objects.filter(pk=device.pk).update(
            previous_key_hash=F("key_hash"),
            previous_key_until=now + PREVIOUS_KEY_LIVES,
            key_hash=key_hash(key),
            key_used_at=None,
        )
        AuditLog.note(actor, "issued a key", device, device.device_id)
    return key


def revoke_keys(device: Device, *, actor: str) -> None:
    """From now on no key of this device is good; it can only be pushed to."""
    with transaction.atomic():
        Device.objects.filter(pk=device.pk).update(key_hash="", previous_key_hash="", previous_key_until=None)
        AuditLog.note(actor, "revoked the keys", device, device.device_id)


@dataclass(frozen=True, slots=True)
class Dna:
    """Who the device says it is. Empty fields leave what was known."""

    name: str
    device_type: str
    platform: str
    facts: dict[str, Any]


def describe(device: Device, dna: Dna) -> bool:
    """Store it; whether it is the device's first. Its name counts only while it has none: people rename devices."""
    known = {key: value for key, value in dna.facts.items() if value is not None}
    with transaction.atomic():
        stored = Device.objects.select_for_update().get(pk=device.pk)
        first = "registered" not in stored.dna
        stored.dna = {**stored.dna, **known, "registered": True}
        stored.device_type = dna.device_type or stored.device_type
        stored.platform = dna.platform or stored.platform
        if dna.name and not stored.name and _is_free(stored, dna.name):
            stored.name = dna.name
        stored.save(update_fields=["dna", "device_type", "platform", "name"])
    device.refresh_from_db()
    return first


def _is_free(device: Device, name: str) -> bool:
    return not Device.objects.filter(Q(site=device.site_id) & Q(name=name)).exclude(pk=device.pk).exists()
