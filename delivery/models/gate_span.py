"""When a credential could not send, or not at full speed: ProviderState only knows now.

One row for each trouble from its first sign to its end, written where a gate opens, closes or slows down: never per
message.
"""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F

from delivery.models import setwise

THROTTLE_LASTS = timedelta(minutes=2)
"""How long after the last refusal a slowed credential still holds messages back: its rate doubles every 30 s."""


class Trouble(models.TextChoices):
    FAILING = "failing", "the provider fails"
    MISCONFIGURED = "misconfigured", "our credential is refused"
    THROTTLED = "throttled", "the provider asks for less"


class GateSpanQuerySet(models.QuerySet["GateSpan"]):
    def note(self, provider: str, credential: str, trouble: Trouble, *, why: str, now: datetime) -> int:
        """It begins now, or goes on."""
        over = self.filter(provider=provider, credential=credential, trouble=Trouble.THROTTLED, closed_at=None)
        over.filter(last_at__lt=now - THROTTLE_LASTS).update(closed_at=F("last_at") + THROTTLE_LASTS)
        return setwise.execute(
            f"""
            INSERT INTO delivery_gatespan (provider, credential, trouble, why, began_at, last_at)
            SELECT %s, %s, %s, %s, {setwise.moment()}, {setwise.moment()} WHERE true
            ON CONFLICT (provider, credential, trouble) WHERE closed_at IS NULL
            DO UPDATE SET last_at = excluded.last_at, why = excluded.why
            """,
            [provider, credential, trouble.value, why[:200], now, now],
        )

    def end(self, provider: str, credential: str, now: datetime) -> int:
        """The gate is open again."""
        shut = self.filter(provider=provider, credential=credential, closed_at=None)
        return shut.exclude(trouble=Trouble.THROTTLED).update(closed_at=now)


class GateSpan(models.Model):
    provider = models.CharField(max_length=20)
    credential = models.CharField(max_length=50)
    trouble = models.CharField(max_length=20, choices=Trouble)
    why = models.CharField(max_length=200, blank=True)
    began_at = models.DateTimeField()
    last_at = models.DateTimeField(help_text="When it was last seen to go on.")
    closed_at = models.DateTimeField(null=True)

    objects = GateSpanQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["provider", "-began_at"], name="gate_span_provider_idx")]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "credential", "trouble"],
                condition=models.Q(closed_at=None),
                name="gate_span_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.credential}: {self.trouble} since {self.began_at:%Y-%m-%d %H:%M:%S} UTC"
