"""One managed end-point. A person's phone or browser is one too: an owner, no site, no key."""

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from delivery.models.site import Site

ONLINE_FOR = timedelta(seconds=120)
DEVICE_ID_PATTERN = r"^[A-Za-z0-9_.:-]{1,100}\Z"


class Lifecycle(models.TextChoices):
    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class DeviceQuerySet(models.QuerySet["Device"]):
    def reachable(self) -> Self:
        """Devices that may get messages at all."""
        return self.filter(lifecycle__in=[Lifecycle.PENDING, Lifecycle.ACTIVE])

    def highest(self) -> int:
        """The row id of the newest; 0 where there is none."""
        return self.aggregate(highest=models.Max("id"))["highest"] or 0


class Device(models.Model):
    device_id = models.CharField(max_length=100, unique=True, validators=[RegexValidator(DEVICE_ID_PATTERN)])
    site = models.ForeignKey(
        Site, to_field="site_id", db_column="site_id", null=True, blank=True, on_delete=models.PROTECT, db_index=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    name = models.CharField(max_length=200, blank=True)
    platform = models.CharField(max_length=30, blank=True)
    device_type = models.CharField(max_length=50, blank=True)
    segment = models.CharField(max_length=50, blank=True, db_index=True)
    lifecycle = models.CharField(max_length=10, choices=Lifecycle, default=Lifecycle.PENDING)
    capabilities = models.JSONField(
        default=dict, blank=True, help_text="As the agent declares them: fcm_token, mqtt_client_id, has_gms, ..."
    )
    permissions = models.JSONField(default=dict, blank=True, help_text="What the owner granted, by name.")
    dna = models.JSONField(
        default=dict, blank=True, help_text="mac_address, os_details, local_ip, firmware_version, ..."
    )
    health = models.CharField(max_length=20, default="unknown")
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    clock_offset_ms = models.BigIntegerField(
        null=True, blank=True, help_text="Server time minus device time; null until the device told its time."
    )
    clock_samples = models.JSONField(default=list, blank=True, editable=False)
    key_hash = models.CharField(max_length=64, blank=True, editable=False)
    key_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    previous_key_hash = models.CharField(max_length=64, blank=True, editable=False)
    previous_key_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["site", "id"], name="device_site_idx")]
        constraints = [
            models.UniqueConstraint(
                fields=["site", "name"], condition=~models.Q(name=""), name="device_name_once_per_site"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.device_id

    @property
    def has_key(self) -> bool:
        """A device with a key can poll its inbox; one without can only be pushed to."""
        return bool(self.key_hash)

    def connectivity_state(self, now: datetime) -> str:
        """`online` (a heartbeat within 120 s), `offline`, or `unknown` (none ever)."""
        if self.last_heartbeat_at is None:
            return "unknown"
        return "online" if now - self.last_heartbeat_at <= ONLINE_FOR else "offline"
