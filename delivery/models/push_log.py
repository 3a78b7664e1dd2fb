"""The log: one row per message, from its birth to its end (table `push_notification_logs`).

The row is the truth about its message; brokers carry hints. Its verbs: push_log_verbs.py.
"""

from datetime import datetime, timedelta

from django.db import models

from delivery.models.channel import PROVIDER_CHOICES, Channel
from delivery.models.device import Device
from delivery.models.job import PAUSED_UNTIL, Job
from delivery.models.keys import new_message_id
from delivery.models.push_log_verbs import PushNotificationLogQuerySet
from delivery.models.site import Site
from delivery.models.verdict import Verdict
from delivery.priority import Priority

INBOX = "inbox"


class Status(models.TextChoices):
    PENDING = "pending"
    """Due at `next_attempt_at`; held by a worker while `claimed_until` is set; in the inbox when it has no due time."""
    SENT = "sent"
    """A provider accepted it, or the inbox handed it out. Nothing is known of the device yet."""
    DELIVERED = "delivered"
    """The device said so. Late where `expired_at` is set."""
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Targeted, but never to be sent; `error_code` says why."""


ENDED = [Status.DELIVERED, Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.SKIPPED]

UNJUDGED = models.Q(verdict="") & (
    models.Q(status__in=["failed", "expired", "cancelled"]) | models.Q(status="delivered", expired_at__isnull=False)
)
"""Ended, not delivered in time, and nobody has said why yet. (What was skipped was never to be sent.)"""


class PushNotificationLog(models.Model):
    message_id = models.UUIDField(unique=True, default=new_message_id)
    device = models.ForeignKey(
        Device, to_field="device_id", db_column="device_id", on_delete=models.PROTECT, db_index=False
    )
    job = models.ForeignKey(
        Job, to_field="job_id", db_column="job_id", null=True, on_delete=models.PROTECT, db_index=False
    )
    site = models.ForeignKey(
        Site, to_field="site_id", db_column="site_id", null=True, on_delete=models.PROTECT, db_index=False
    )
    provider = models.CharField(max_length=20, choices=[*PROVIDER_CHOICES, (INBOX, "Inbox")])
    credential = models.CharField(max_length=50)
    channel = models.ForeignKey(Channel, null=True, on_delete=models.PROTECT, db_index=False)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    priority = models.PositiveSmallIntegerField(choices=[(p.value, p.word) for p in Priority])
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True)
    # no index may name what a claim changes: push_log_claims.py
    claimed_until = models.DateTimeField(null=True)
    claim_token = models.UUIDField(null=True)
    claim_alone = models.BooleanField(
        db_default=False, help_text="Its last holder died: it is claimed alone, so that it can harm no other row."
    )
    lost_claims = models.PositiveSmallIntegerField(db_default=0, help_text="How many holders died with this row alone.")
    attempt_count = models.PositiveSmallIntegerField(db_default=0, help_text="Attempts on the present channel.")
    sent_at = models.DateTimeField(
        null=True, help_text="Start of the attempt that was accepted, of the first of several."
    )
    handoff_ms = models.PositiveIntegerField(null=True, help_text="How long the provider took to accept it.")
    accepted_by = models.CharField(
        max_length=20,
        db_default="",
        help_text="Whom sent_at tells of, once a hedge has moved it on; before, that is `provider`.",
    )
    hedge_at = models.DateTimeField(null=True, help_text="Without an ack it then goes out on the next channel too.")
    expires_at = models.DateTimeField()
    expired_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(null=True, help_text="As the device's clock said it.")
    clock_offset_ms = models.BigIntegerField(null=True, help_text="Added to received_at to get our time.")
    clock_skewed = models.BooleanField(db_default=False, help_text="received_at makes no sense: no latency from it.")
    acked_at = models.DateTimeField(null=True, help_text="Our clock, when the first ack was committed.")
    opened_at = models.DateTimeField(null=True)
    clicked_at = models.DateTimeField(null=True)
    latency_ms = models.BigIntegerField(null=True, help_text="From sent_at to the corrected received_at.")
    accepted_code = models.CharField(max_length=100, db_default="", help_text="What the provider noted on accepting.")
    provider_message_id = models.CharField(max_length=255, db_default="")
    fallback_from = models.CharField(max_length=20, db_default="", help_text="The provider before this one.")
    error_code = models.CharField(max_length=100, db_default="")
    error_message = models.CharField(max_length=500, db_default="")
    verdict = models.CharField(
        max_length=30, choices=Verdict, db_default="", help_text="Why it was not delivered in time; empty: not judged."
    )
    evidence = models.CharField(max_length=300, db_default="", help_text="What the verdict rests on, in a sentence.")
    judge_at = models.DateTimeField(null=True, help_text="When more may be known, and it is judged again.")

    objects = PushNotificationLogQuerySet.as_manager()

    class Meta:
        db_table = "push_notification_logs"
        verbose_name = "message"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["job", "device"], name="one_message_per_job_and_device")]
        indexes = [
            models.Index(fields=["device", "id"], name="push_log_device_idx"),
            models.Index(
                fields=["expires_at"], condition=models.Q(status__in=["pending", "sent"]), name="push_log_open_idx"
            ),
            models.Index(
                fields=["provider", "credential", "priority", "next_attempt_at"],
                condition=models.Q(status="pending"),
                name="push_log_due_idx",
            ),
            models.Index(
                fields=["hedge_at"],
                condition=models.Q(status="sent", hedge_at__isnull=False),
                name="push_log_hedge_idx",
            ),
            models.Index(fields=["created_at"], name="push_log_created_idx"),
            models.Index(fields=["site", "created_at"], name="push_log_site_idx"),
            models.Index(
                fields=["created_at"],
                condition=models.Q(status__in=["failed", "expired", "cancelled"]) | models.Q(expired_at__isnull=False),
                name="push_log_missed_idx",
            ),
            models.Index(fields=["id"], condition=UNJUDGED, name="push_log_unjudged_idx"),
            models.Index(
                fields=["judge_at"], condition=models.Q(judge_at__isnull=False), name="push_log_judge_again_idx"
            ),
            models.Index(fields=["verdict", "id"], condition=~models.Q(verdict=""), name="push_log_verdict_idx"),
        ]

    def __str__(self) -> str:
        return str(self.message_id)

    @property
    def paused(self) -> bool:
        """Its job is paused: neither its wait nor its life runs on."""
        return self.expires_at >= PAUSED_UNTIL

    @property
    def taken_by(self) -> str:
        """Who accepted it, the first of several; empty while nobody has."""
        return (self.accepted_by or self.provider) if self.sent_at is not None else ""

    @property
    def arrived_at(self) -> datetime | None:
        """When the device had it, by our clock; None where nobody knows, or its own clock made no sense.

        What a clock is off is known to some milliseconds: nothing arrived after its ack.
        """
        if self.received_at is None or self.clock_skewed:
            return None
        corrected = self.received_at + timedelta(milliseconds=self.clock_offset_ms or 0)
        return corrected if self.acked_at is None else min(corrected, self.acked_at)

    @property
    def late(self) -> bool:
        """Delivered, but after its time."""
        return self.status == Status.DELIVERED and self.expired_at is not None
