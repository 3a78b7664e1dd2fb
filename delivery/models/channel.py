"""A way to one device: provider, address and rank. The rank 0 is the primary, 1 and up are fallbacks."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple, Self

from django.db import models
from django.db.models.functions import Coalesce, Now

from delivery.models import setwise
from delivery.models.device import Device

PROVIDER_CHOICES = [
    ("fcm", "FCM"),
    ("apns", "APNs"),
    ("wns", "WNS"),
    ("web_push", "Web Push"),
    ("mqtt", "MQTT"),
    ("simulation", "Simulation"),
]


def address_hash(address: str) -> str:
    return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()


class ChannelState(models.TextChoices):
    ACTIVE = "active"
    PARKED = "parked", "parked (the provider's answer is being judged)"
    DISABLED = "disabled"
    ARCHIVED = "archived", "archived (silent for long)"


class Carrier(NamedTuple):
    """What a send needs to know of a channel."""

    address: str
    environment: str
    device_id: str
    usable: bool
    last_used_at: datetime | None


class ChannelQuerySet(models.QuerySet["Channel"]):
    def carriers(self, ids: Collection[int]) -> dict[int, Carrier]:
        """These channels, by id, as they are now."""
        table, params = setwise.rows({"id": "bigint"}, [(channel_id,) for channel_id in ids])
        found = setwise.fetch(
            f"""
            SELECT c.id, c.address, c.environment, d.device_id, c.state = 'active', c.last_used_at
            FROM {table} JOIN delivery_channel AS c ON c.id = r.id JOIN delivery_device AS d ON d.id = c.device_id
            """,
            params,
            ["bigint", "text", "text", "text", "boolean", "timestamptz"],
            prepared=True,
        )
        return {channel_id: Carrier(*facts) for channel_id, *facts in found}

    def usable(self) -> Self:
        return self.filter(state=ChannelState.ACTIVE)

    def of_address(self, provider: str, address: str) -> Self:
        return self.filter(provider=provider, address_hash=address_hash(address))

    def of_addresses(self, provider: str, addresses: Iterable[str]) -> Self:
        return self.filter(provider=provider, address_hash__in=[address_hash(address) for address in addresses])

    def disable(self, ids: list[int], *, by: str, code: str, now: datetime) -> int:
        """Active or parked -> disabled, kept with who said so, why and when. A second call changes nothing."""
        return self.filter(id__in=ids, state__in=[ChannelState.ACTIVE, ChannelState.PARKED]).update(
            state=ChannelState.DISABLED, disabled_by=by, disabled_code=code[:100], disabled_at=now
        )

    def park(self, ids: list[int], *, by: str, code: str, now: datetime) -> int:
        """Active -> parked: no sends until the guard has judged."""
        return self.filter(id__in=ids, state=ChannelState.ACTIVE).update(
            state=ChannelState.PARKED, disabled_by=by, disabled_code=code[:100], disabled_at=now
        )

    def disable_parked(self, provider: str, credential: str) -> int:
        """Parked -> disabled: the provider was right."""
        return self.filter(provider=provider, credential=credential, state=ChannelState.PARKED).update(
            state=ChannelState.DISABLED
        )

    def release_parked(self, provider: str, credential: str) -> int:
        """Parked -> active: the mistake was ours."""
        return self.filter(provider=provider, credential=credential, state=ChannelState.PARKED).restore()

    def restore(self) -> int:
        """Any state -> active. What was said about the address before is forgotten."""
        return self.exclude(state=ChannelState.ACTIVE).update(
            state=ChannelState.ACTIVE, disabled_by="", disabled_code="", disabled_at=None
        )

    def silent_since(self, moment: datetime) -> Self:
        """Nothing was accepted since then; one never used counts from its registration."""
        return self.alias(heard=Coalesce("last_used_at", "registered_at")).filter(heard__lt=moment)

    def archive_silent(self, before: datetime, *, now: datetime) -> int:
        """Active -> archived where nothing was accepted since `before`."""
        silent = self.usable().silent_since(before)
        return self.filter(id__in=silent.values("id"), state=ChannelState.ACTIVE).update(
            state=ChannelState.ARCHIVED, disabled_by="sweep", disabled_code="silent", disabled_at=now
        )


class Channel(models.Model):
    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="channels")
    provider = models.CharField(max_length=20, choices=PROVIDER_CHOICES)
    credential = models.CharField(max_length=50, default="default")
    address = models.TextField()
    address_hash = models.CharField(max_length=64, editable=False)
    rank = models.PositiveSmallIntegerField(default=0, help_text="0 is the primary, 1 and up are fallbacks.")
    own_rank = models.PositiveSmallIntegerField(
        null=True, blank=True, editable=False,
        help_text="What the device or a technician gave it, where a pin or a healing has moved it: ranks.py.",
    )  # fmt: skip
    demoted = models.BooleanField(
        db_default=False,
        help_text="Behind the others: nothing that it carried was confirmed, though the device was there.",
    )
    environment = models.CharField(max_length=20, blank=True, help_text="APNs: production or sandbox.")
    state = models.CharField(max_length=10, choices=ChannelState, default=ChannelState.ACTIVE)
    created_at = models.DateTimeField(db_default=Now(), help_text="When this address was registered first.")
    registered_at = models.DateTimeField(help_text="When it was registered last.")
    last_used_at = models.DateTimeField(
        null=True, blank=True, help_text="Last time that a provider accepted a message."
    )
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_by = models.CharField(max_length=50, blank=True)
    disabled_code = models.CharField(max_length=100, blank=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["device_id", "rank", "id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "address_hash"], name="channel_address_once_per_provider")
        ]

    def __str__(self) -> str:
        return f"{self.get_provider_display()} ({self.masked_address})"

    @property
    def masked_address(self) -> str:
        return f"{self.address[:6]}…({len(self.address)})"
