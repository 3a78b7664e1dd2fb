"""Registrations that were refused, counted by hour and reason: how somebody sees that devices cannot come in."""

from datetime import datetime

from django.db import models

from delivery.models import setwise


class RefusedRegistrationQuerySet(models.QuerySet["RefusedRegistration"]):
    def note(self, why: str, now: datetime) -> int:
        """One more; two at once are both counted."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        return setwise.execute(
            """
            INSERT INTO delivery_refusedregistration (hour, why, count) VALUES (%s, %s, 1)
            ON CONFLICT (hour, why) DO UPDATE SET count = delivery_refusedregistration.count + 1
            """,
            [hour, why[:60]],
        )


class RefusedRegistration(models.Model):
    hour = models.DateTimeField(help_text="Its first moment, UTC.")
    why = models.CharField(max_length=60, help_text="The call, and the status that it was answered with.")
    count = models.PositiveIntegerField(default=0)

    objects = RefusedRegistrationQuerySet.as_manager()

    class Meta:
        ordering = ["-hour", "why"]
        constraints = [models.UniqueConstraint(fields=["hour", "why"], name="refused_once_per_hour_and_reason")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.why}: {self.count}"
