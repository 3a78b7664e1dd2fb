"""A place with devices: a restaurant, a shop."""

from django.conf import settings
from django.db import models


class Site(models.Model):
    site_id = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC", help_text="An IANA name such as Europe/Berlin.")
    trading_hours = models.JSONField(
        default=dict, blank=True, help_text='By weekday, local time: {"mon": ["08:00", "22:00"], ...}.'
    )
    bootstrap_key_hash = models.CharField(max_length=64, blank=True, editable=False)
    technicians = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="sites", help_text="Who may see this site and send to it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["site_id"]

    def __str__(self) -> str:
        return self.name or self.site_id
