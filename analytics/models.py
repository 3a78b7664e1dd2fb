"""The hourly numbers, which hours have still to be counted, and the zombies."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from django.db import models

from delivery.models import Channel, Device, Site, setwise
from delivery.models.channel import PROVIDER_CHOICES
from delivery.models.push_log import INBOX


class HourlyRollupQuerySet(models.QuerySet["HourlyRollup"]):
    def write(self, hour: datetime, rows: Mapping[tuple[str | None, str], Mapping[str, Any]]) -> int:
        """New rows of an hour by site and provider, in one statement. What is JSON may come as its text."""
        counts: dict[str, setwise.Kind] = dict.fromkeys(COUNTS, "bigint")
        texts: dict[str, setwise.Kind] = dict.fromkeys(JSON_FIELDS, "text")
        table, params = setwise.rows(
            {"site_id": "text", "provider": "text", **counts, **texts},
            [
                (
                    *key,
                    *[fields.get(name, 0) for name in COUNTS],
                    *[_text(fields.get(name, {})) for name in JSON_FIELDS],
                )
                for key, fields in sorted(rows.items(), key=lambda item: (item[0][0] or "", item[0][1]))
            ],
        )
        return setwise.execute(
            f"""
            INSERT INTO analytics_hourlyrollup (hour, site_id, provider, {", ".join((*COUNTS, *JSON_FIELDS))})
            SELECT {setwise.moment()}, site_id, provider, {", ".join(COUNTS)},
                   {", ".join(setwise.as_json(f"r.{name}") for name in JSON_FIELDS)}
            FROM {table}
            """,
            [hour, *params],
        )


COUNTS = (
    "ordered", "delivered", "late", "failed", "expired", "cancelled", "skipped", "handed_over", "fallback", "skewed",
    "opened", "clicked", "latency_sum_ms", "latency_count", "attempted", "accepted", "retries",
)  # fmt: skip
JSON_FIELDS = ("latency", "times", "verdicts", "refused", "handoff")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class HourlyRollup(models.Model):
    """One site, provider and hour, counted from the log. What each number means: docs/numbers.md.

    Messages (ordered to times) are counted in the hour of their `created_at`, under the provider that accepted them,
    else under the first that they were meant for: a provider in an outage keeps what it lost.
    Attempts (attempted to handoff) are counted in their own hour, under the provider asked.
    """

    hour = models.DateTimeField(help_text="Its first moment, UTC.")
    site = models.ForeignKey(
        Site, to_field="site_id", db_column="site_id", null=True, on_delete=models.PROTECT, db_index=False
    )
    provider = models.CharField(max_length=20, choices=[*PROVIDER_CHOICES, (INBOX, "Inbox")])

    ordered = models.PositiveIntegerField(default=0, help_text="All messages; the seven below and the open ones.")
    delivered = models.PositiveIntegerField(default=0, help_text="In time.")
    late = models.PositiveIntegerField(default=0, help_text="Delivered after the TTL.")
    failed = models.PositiveIntegerField(default=0)
    expired = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    handed_over = models.PositiveIntegerField(default=0, help_text="Taken by a provider or the inbox.")
    fallback = models.PositiveIntegerField(default=0, help_text="Handed over, and not by their first provider.")
    skewed = models.PositiveIntegerField(default=0, help_text="Of delivered and late: with a clock that made no sense.")
    opened = models.PositiveIntegerField(default=0, help_text="Of delivered and late: opened by a person.")
    clicked = models.PositiveIntegerField(default=0, help_text="Of delivered and late: clicked by a person.")
    latency = models.JSONField(
        default=dict, help_text="From sent to received, of deliveries in time: a histogram of analytics/latency.py."
    )
    latency_sum_ms = models.BigIntegerField(default=0)
    latency_count = models.PositiveIntegerField(default=0)
    times = models.JSONField(
        default=dict, help_text="Histograms by part: queue, handoff, transit, ack_return; end_to_end; to_open."
    )

    verdicts = models.JSONField(
        default=dict, help_text="Of failed, expired, cancelled and late: how many of each verdict. Not judged: none."
    )

    attempted = models.PositiveIntegerField(default=0, help_text="Accepted and refused attempts.")
    accepted = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=dict, help_text="Attempts that were not accepted, by outcome.")
    retries = models.PositiveIntegerField(default=0, help_text="Attempts after the first of their message.")
    handoff = models.JSONField(default=dict, help_text="Histogram: how long accepted attempts took.")

    objects = HourlyRollupQuerySet.as_manager()

    class Meta:
        ordering = ["-hour", "site", "provider"]
        indexes = [models.Index(fields=["site", "hour"], name="rollup_site_idx")]
        constraints = [
            models.UniqueConstraint(fields=["hour", "provider", "site"], name="rollup_once_per_site"),
            models.UniqueConstraint(
                fields=["hour", "provider"], condition=models.Q(site=None), name="rollup_once_without_site"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.site_id or 'no site'} {self.provider}"

    @property
    def open(self) -> int:
        """Messages that had not ended when the hour was counted."""
        ended = self.delivered + self.late + self.failed + self.expired + self.cancelled + self.skipped
        return self.ordered - ended


class HourlyTotal(models.Model):
    """All sites of one provider and hour together: totals.py."""

    hour = models.DateTimeField()
    provider = models.CharField(max_length=20)
    counted_at = models.DateTimeField(help_text="Of the hour, when this was summed. Counted again, it is out of date.")
    sums = models.JSONField(help_text="The fields of its rollups, summed.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hour", "provider"], name="total_once_per_provider")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.provider}"


class RollupStateQuerySet(models.QuerySet["RollupState"]):
    def to_count(self) -> Self:
        """The oldest first: an hour's attempts are found through the hours in which their messages were made."""
        return self.filter(dirty=True, sealed_at=None).order_by("hour")

    def sealed(self) -> Self:
        """Hours that are never counted again, because raw rows of them are gone or may go."""
        return self.exclude(sealed_at=None)

    def looked_at(self) -> datetime | None:
        """The moment up to which the log was searched for changes; None before the first time."""
        last: datetime | None = self.aggregate(last=models.Max("looked_at"))["last"]
        return last

    def made_what_was_sent_in(self, hour: datetime) -> Self:
        """Hours whose messages may have been handed over in this one. The hour itself is always among them."""
        return self.filter(models.Q(hour=hour) | models.Q(hour__lt=hour, last_sent_at__gte=hour))


class RollupState(models.Model):
    """One hour: whether it has to be counted (again), and what it looked like when it was counted last.

    The mark is set before the counting and taken away in the counting's own transaction, so that a crash leaves it.
    """

    hour = models.DateTimeField(unique=True)
    dirty = models.BooleanField(default=True)
    looked_at = models.DateTimeField(help_text="When the log was searched and this hour was marked.")
    counted_at = models.DateTimeField(null=True)
    open = models.JSONField(default=dict, help_text="How many messages waited where, when it was counted.")
    last_sent_at = models.DateTimeField(null=True, help_text="When the last message of this hour was handed over.")
    last_at = models.DateTimeField(
        null=True, help_text="The last that happened to a message of this hour, as far as was looked."
    )
    sealed_at = models.DateTimeField(
        null=True, help_text="When it was counted for the last time: its raw rows may go, or are gone."
    )

    objects = RollupStateQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["hour"], condition=models.Q(dirty=True), name="rollup_to_count_idx")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {'to count' if self.dirty else 'counted'}"


class Rung(models.TextChoices):
    """How far a zombie's healing has come. Each is tried once."""

    FOUND = "found", "found"
    PROBED = "probed", "the provider was asked about the address"
    ASKED = "asked", "the device was asked to register again"
    MOVED = "moved", "messages take another channel first"
    TICKET = "ticket", "a person has to look"


class Closed(models.TextChoices):
    """Why a zombie is none any more."""

    ACKED = "acked", "a message on this channel was confirmed"
    CHANNEL_GONE = "channel_gone", "the channel was replaced, disabled or archived"
    DEVICE_GONE = "device_gone", "the device is suspended or retired"
    REGISTERED_AGAIN = "registered_again", "the device registered again when it was asked to"
    BY_PERSON = "by_person", "a person closed it"


class ZombieQuerySet(models.QuerySet["Zombie"]):
    def standing(self) -> Self:
        return self.filter(closed_at=None)

    def to_heal(self, now: datetime) -> Self:
        """Those whose next rung is due, the longest first."""
        return self.standing().filter(next_at__lte=now).order_by("next_at", "id")

    def climb(self, rung: Rung, *, from_rung: Rung, now: datetime, next_at: datetime | None) -> int:
        """1 for the one who may write what it has just done. No rung is taken twice."""
        return self.standing().filter(rung=from_rung).update(rung=rung, rung_at=now, next_at=next_at)

    def close(self, why: Closed, now: datetime) -> int:
        return self.standing().update(closed_at=now, closed_why=why, next_at=None)


class Zombie(models.Model):
    """A channel whose device is seen online and confirms nothing of what its provider accepts."""

    device = models.ForeignKey(
        Device, to_field="device_id", db_column="device_id", on_delete=models.PROTECT, related_name="zombies"
    )
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="zombies")
    site = models.ForeignKey(Site, to_field="site_id", db_column="site_id", null=True, on_delete=models.PROTECT)
    provider = models.CharField(max_length=20, choices=PROVIDER_CHOICES)
    found_at = models.DateTimeField()
    last_seen = models.DateTimeField(help_text="When the rule was last found to hold.")
    pushes = models.PositiveIntegerField(help_text="Accepted while it was online and not confirmed, at that moment.")
    first_push_at = models.DateTimeField(help_text="The first of them.")
    rung = models.CharField(max_length=10, choices=Rung, default=Rung.FOUND)
    rung_at = models.DateTimeField(help_text="When this rung was reached.")
    next_at = models.DateTimeField(null=True, help_text="When the next rung is due; empty: there is none.")
    probe_code = models.CharField(max_length=100, blank=True, help_text="What the provider said about the address.")
    asked_by = models.UUIDField(null=True, help_text="The message that asks the device to register again.")
    asked_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    closed_why = models.CharField(max_length=20, blank=True, choices=Closed)

    objects = ZombieQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel"], condition=models.Q(closed_at=None), name="zombie_once_per_channel"
            )
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(closed_at=None), name="zombie_to_heal_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id} on {self.get_provider_display()}"
