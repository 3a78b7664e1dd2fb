"""Something that a person should look at. One open alert per kind and subject, however often it happens."""

from datetime import datetime

from django.db import models


class AlertQuerySet(models.QuerySet["Alert"]):
    def open_or_repeat(self, kind: str, subject: str, text: str, now: datetime) -> bool:
        """True where this is a new alert; one that stands open only notes that it happened again."""
        _, created = self.get_or_create(
            kind=kind,
            subject=subject,
            closed_at=None,
            defaults={"text": text[:500], "opened_at": now, "last_seen_at": now},
        )
        if not created:
            self.filter(kind=kind, subject=subject, closed_at=None).update(
                last_seen_at=now, text=text[:500], times=models.F("times") + 1
            )
        return created

    def close(self, kind: str, subject: str, now: datetime) -> int:
        return self.filter(kind=kind, subject=subject, closed_at=None).update(closed_at=now)


class Alert(models.Model):
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=150, help_text="What it is about, such as fcm/default.")
    text = models.CharField(max_length=500)
    times = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=models.Q(closed_at=None), name="alert_open_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"
