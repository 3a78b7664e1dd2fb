"""Something that a person should look at. One open alert per kind and subject, however often it happens."""

from datetime import datetime
from typing import Any, Self

from django.db import models

from delivery.models.site import Site


class AlertQuerySet(models.QuerySet["Alert"]):
    """Questions return a queryset; transitions are one guarded UPDATE and return a row count."""

    def standing(self) -> Self:
        return self.filter(closed_at=None)

    def of(self, kind: str, subject: str) -> Self:
        return self.filter(kind=kind, subject=subject)

    def open_or_repeat(
        self,
        kind: str,
        subject: str,
        text: str,
        now: datetime,
        *,
        cause: str = "",
        site_id: str | None = None,
        provider: str = "",
    ) -> bool:
        """True where this is a new alert; one that stands open only notes that it happened again.

        A new one is muted for as long as the last one of the same kind and subject still is.
        """
        said = {"text": text[:500], "cause": cause[:300]}
        about = {"site_id": site_id, "provider": provider, "opened_at": now, "last_seen_at": now}
        _, created = self.get_or_create(
            kind=kind,
            subject=subject[:150],
            closed_at=None,
            defaults={**said, **about, **self.of(kind, subject[:150])._mute(now)},
        )
        if not created:
            self.standing().of(kind, subject[:150]).update(
                last_seen_at=now, better_since=None, times=models.F("times") + 1, **said
            )
        return created

    def close(self, kind: str, subject: str, now: datetime) -> int:
        return self.standing().of(kind, subject[:150]).update(closed_at=now)

    def note_better(self, now: datetime) -> int:
        """What it warns of is over, perhaps for a moment only. The first such moment stays."""
        return self.standing().filter(better_since=None).update(better_since=now)

    def take(self, person: str, now: datetime) -> int:
        """Somebody looks after it. Whoever took it first has it."""
        return self.standing().filter(taken_by="").update(taken_by=person[:150], taken_at=now)

    def mute(self, until: datetime, person: str) -> int:
        """Tell nobody about it until then, nor about the next one of the same kind and subject."""
        return self.standing().update(muted_until=until, muted_by=person[:150])

    def unmute(self) -> int:
        return self.exclude(muted_until=None).update(muted_until=None, muted_by="")

    def to_tell(self) -> Self:
        """Openings and closings of which nobody has been told, nor was it decided that nobody is to be."""
        return self.filter(
            models.Q(opening_told_at=None) | models.Q(closed_at__isnull=False, closing_told_at=None)
        ).order_by("id")

    def _mute(self, now: datetime) -> dict[str, Any]:
        last = self.filter(muted_until__gt=now).order_by("-id").first()
        return {} if last is None else {"muted_until": last.muted_until, "muted_by": last.muted_by}


class Alert(models.Model):
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=150, help_text="What it is about, such as fcm/default.")
    text = models.CharField(max_length=500)
    cause = models.CharField(max_length=300, blank=True, db_default="", help_text="What it most likely comes from.")
    site = models.ForeignKey(
        Site, to_field="site_id", db_column="site_id", null=True, blank=True, on_delete=models.PROTECT, db_index=False,
        help_text="The site that it is about; empty: it concerns several, or none.",
    )  # fmt: skip
    provider = models.CharField(max_length=20, blank=True, db_default="")
    times = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    better_since = models.DateTimeField(null=True, blank=True, help_text="It closes when it has been better for long.")
    closed_at = models.DateTimeField(null=True, blank=True)
    taken_by = models.CharField(max_length=150, blank=True, db_default="", help_text="person:name")
    taken_at = models.DateTimeField(null=True, blank=True)
    muted_until = models.DateTimeField(null=True, blank=True)
    muted_by = models.CharField(max_length=150, blank=True, db_default="")
    opening_told_at = models.DateTimeField(null=True, blank=True, help_text="When the notices of its opening were due.")
    closing_told_at = models.DateTimeField(null=True, blank=True, help_text="When the notices of its end were due.")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=models.Q(closed_at=None), name="alert_open_once"
            )
        ]
        indexes = [
            models.Index(fields=["kind", "subject"], name="alert_subject_idx"),
            models.Index(
                fields=["id"],
                condition=models.Q(opening_told_at=None) | models.Q(closed_at__isnull=False, closing_told_at=None),
                name="alert_to_tell_idx",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"

    def is_muted(self, now: datetime) -> bool:
        return self.muted_until is not None and self.muted_until > now
