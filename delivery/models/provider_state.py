"""Whether one credential of one provider may send now, and how fast."""

from django.db import models


class Breaker(models.TextChoices):
    CLOSED = "closed", "closed (sending)"
    OPEN = "open", "open (waiting)"
    HALF_OPEN = "half_open", "half open (probing)"


class ProviderState(models.Model):
    provider = models.CharField(max_length=20)
    credential = models.CharField(max_length=50, default="default")
    state = models.CharField(max_length=10, choices=Breaker, default=Breaker.CLOSED)
    until = models.DateTimeField(null=True, blank=True, help_text="Nothing is sent before this moment.")
    why = models.CharField(max_length=200, blank=True)
    rate_per_s = models.FloatField(
        null=True, blank=True, help_text="At most this many sends a second; empty: no limit."
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "credential"], name="one_state_per_credential")]

    def __str__(self) -> str:
        return f"{self.provider}/{self.credential}: {self.state}"
