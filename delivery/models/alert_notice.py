"""What one destination is to be told of one alert: a row, so that nothing is lost with a process."""

from datetime import datetime
from typing import Self

from django.db import models

from delivery.models.alert import Alert


class AlertEvent(models.TextChoices):
    OPENED = "opened"
    CLOSED = "closed"


class AlertNoticeQuerySet(models.QuerySet["AlertNotice"]):
    """Each verb is one guarded UPDATE on the rows at hand; the row count says whether it was its turn."""

    def due(self, now: datetime) -> Self:
        return self.filter(told_at=None, given_up_at=None, due_at__lte=now).order_by("id")

    def claim(self, pk: int, *, now: datetime, until: datetime) -> int:
        """1 for the one who may send it now. After `until` it is anybody's again."""
        return self.due(now).filter(pk=pk).order_by().update(due_at=until, tries=models.F("tries") + 1)

    def mark_told(self, pk: int, now: datetime) -> int:
        return self.filter(pk=pk, told_at=None).update(told_at=now, error="")

    def mark_failed(self, pk: int, error: str, *, again_at: datetime) -> int:
        return self.filter(pk=pk, told_at=None).update(error=error[:200], due_at=again_at)

    def give_up(self, pk: int, error: str, now: datetime) -> int:
        return self.filter(pk=pk, told_at=None).update(error=error[:200], given_up_at=now)


class AlertNotice(models.Model):
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    event = models.CharField(max_length=10, choices=AlertEvent)
    destination = models.CharField(max_length=40, help_text="e-mail, or scheme and fingerprint of an Apprise URL.")
    due_at = models.DateTimeField(help_text="When it is to be sent, or sent again.")
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True, help_text="Why the last try failed.")
    told_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)

    objects = AlertNoticeQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "event", "destination"], name="notice_once_per_destination")
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(told_at=None, given_up_at=None),
                name="notice_due_idx",
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.destination}"
