"""Another backend's key, with what it may do."""

from typing import Self

from django.db import models

from delivery.models.keys import key_hash, new_key

SCOPES = ("jobs:write", "jobs:read", "messages:read", "devices:read", "devices:write", "analytics:read")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def valid(self) -> Self:
        return self.filter(revoked_at=None)

    def issue(self, name: str, scopes: list[str]) -> str:
        """Make a key and return it. It is never shown again."""
        key = new_key("hpk")
        self.create(name=name, key_hash=key_hash(key), scopes=scopes)
        return key


class ApiKey(models.Model):
    name = models.CharField(max_length=100, unique=True)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list, help_text=f"Some of {', '.join(SCOPES)}.")
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.name
