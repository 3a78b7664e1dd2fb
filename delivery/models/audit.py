"""Who did what to which object. Rows are only ever added."""

from typing import Any

from django.db import models


class AuditLog(models.Model):
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=150, help_text="person:name, device:id, key:name or system")
    action = models.CharField(max_length=50)
    object_type = models.CharField(max_length=30)
    object_id = models.CharField(max_length=100)
    details = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object_type} {self.object_id}"

    @classmethod
    def note(cls, actor: str, action: str, of: models.Model, object_id: str, **details: Any) -> None:
        cls.objects.create(
            actor=actor[:150],
            action=action,
            object_type=of._meta.model_name or "",
            object_id=object_id,
            details=details,
        )
