"""Whether one credential of one provider may send now, and how fast."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F


class Breaker(models.TextChoices):
    CLOSED = "closed", "closed (sending)"
    OPEN = "open", "open (waiting)"
    HALF_OPEN = "half_open", "half open (probing)"


NOT_CLOSED = [Breaker.OPEN, Breaker.HALF_OPEN]


class ProviderStateQuerySet(models.QuerySet["ProviderState"]):
    """Each verb is one guarded UPDATE on the rows at hand; the row count says whether it was its turn."""

    def of(self, provider: str, credential: str) -> "ProviderStateQuerySet":
        """The row of a credential, made if it is not there."""
        self.bulk_create([ProviderState(provider=provider, credential=credential)], ignore_conflicts=True)
        return self.filter(provider=provider, credential=credential)

    def open(self, *, until: datetime, why: str, now: datetime) -> int:
        """Any state -> open until then. A longer wait that stands already stays."""
        return self.exclude(state=Breaker.OPEN, until__gte=until).update(
            state=Breaker.OPEN,
            until=until,
            why=why[:200],
            opened_at=models.Case(
                models.When(state=Breaker.CLOSED, then=models.Value(now)),
                default=F("opened_at"),
                output_field=models.DateTimeField(),
            ),
            opened_times=F("opened_times") + 1,
            changed_at=now,
        )

    def take_probe(self, *, now: datetime, apart: timedelta) -> int:
        """Open or half open, and its wait over -> half open: 1 for the one who may send one message now."""
        return self.filter(state__in=NOT_CLOSED, until__lte=now).update(
            state=Breaker.HALF_OPEN, until=now + apart, changed_at=now
        )

    def close(self, now: datetime) -> int:
        """Open or half open -> closed; the rate climbs from here."""
        return self.filter(state__in=NOT_CLOSED).update(
            state=Breaker.CLOSED,
            until=None,
            why="",
            opened_at=None,
            opened_times=0,
            recovering_since=now,
            changed_at=now,
        )

    def slow_down(self, rate_per_s: float, *, now: datetime, keep_since: datetime) -> int:
        """Allow at most this rate; a lower one of after `keep_since` stays (an older one has grown by now)."""
        return self.exclude(rate_per_s__lt=rate_per_s, slowed_at__gt=keep_since).update(
            rate_per_s=rate_per_s, slowed_at=now, changed_at=now
        )

    def open_window(self, now: datetime) -> int:
        """Begin to watch a credential, after an answer that an address is gone."""
        return self.filter(window_from=None).update(window_from=now, window_sends=0, window_accepted=0)

    def count_in_window(self, *, sends: int, accepted: int) -> int:
        return self.exclude(window_from=None).update(
            window_sends=F("window_sends") + sends, window_accepted=F("window_accepted") + accepted
        )

    def close_window(self, began: datetime) -> int:
        """1 for the one who may judge it."""
        return self.filter(window_from=began).update(window_from=None)


class ProviderState(models.Model):
    provider = models.CharField(max_length=20)
    credential = models.CharField(max_length=50, default="default")
    state = models.CharField(max_length=10, choices=Breaker, default=Breaker.CLOSED)
    until = models.DateTimeField(null=True, blank=True, help_text="Nothing is sent before this moment.")
    why = models.CharField(max_length=200, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    opened_times = models.PositiveIntegerField(default=0, help_text="Times that it opened since it was last closed.")
    recovering_since = models.DateTimeField(null=True, blank=True)
    rate_per_s = models.FloatField(
        null=True, blank=True, help_text="At most this many sends a second; empty: no limit."
    )
    slowed_at = models.DateTimeField(null=True, blank=True)
    window_from = models.DateTimeField(null=True, blank=True, help_text="Since when dead addresses are being judged.")
    window_sends = models.PositiveIntegerField(default=0)
    window_accepted = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    objects = ProviderStateQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "credential"], name="one_state_per_credential")]

    def __str__(self) -> str:
        return f"{self.provider}/{self.credential}: {self.state}"
