"""When work was last done, by name: how whoever watches us sees that workers take what they should."""

from datetime import datetime

from django.db import models

from delivery.models import setwise


class LastRunQuerySet(models.QuerySet["LastRun"]):
    def note(self, name: str, now: datetime) -> int:
        """1 unless a later run is noted already."""
        return setwise.execute(
            """
            INSERT INTO delivery_lastrun (name, ran_at) VALUES (%s, %s)
            ON CONFLICT (name) DO UPDATE SET ran_at = excluded.ran_at WHERE delivery_lastrun.ran_at < excluded.ran_at
            """,
            [name, now],
        )


class LastRun(models.Model):
    name = models.CharField(max_length=100, unique=True, help_text="A sweep's task, or a provider's queue.")
    ran_at = models.DateTimeField()

    objects = LastRunQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name}: {self.ran_at}"
