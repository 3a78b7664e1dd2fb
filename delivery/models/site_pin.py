"""A site's provider, chosen by a technician: its channels come first at this site's devices."""

from django.db import models

from delivery.models.channel import PROVIDER_CHOICES
from delivery.models.site import Site


class SitePin(models.Model):
    site = models.OneToOneField(
        Site, to_field="site_id", db_column="site_id", on_delete=models.CASCADE, related_name="pin"
    )
    provider = models.CharField(max_length=20, choices=PROVIDER_CHOICES)
    pinned_by = models.CharField(max_length=150, help_text="person:name or key:name")
    pinned_at = models.DateTimeField()
    suggested = models.BooleanField(default=False, help_text="It was the fastest when it was pinned.")
    why = models.CharField(max_length=200, blank=True, help_text="What spoke for it then.")

    def __str__(self) -> str:
        return f"{self.get_provider_display()} at {self.site_id}"
