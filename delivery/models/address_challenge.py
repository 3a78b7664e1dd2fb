"""A question to an address: whoever can echo the code that was pushed there holds the address."""

import uuid
from datetime import datetime
from typing import Self

from django.db import models

from delivery.models.channel import Channel

MAX_TRIES = 5
"""Codes that may be tried against one challenge."""
MAX_PUSHES = 3
"""How often one challenge goes out where the provider did not take it."""


class AddressChallengeQuerySet(models.QuerySet["AddressChallenge"]):
    """Questions return a queryset; transitions are one guarded UPDATE and return a row count."""

    def open(self, now: datetime) -> Self:
        """Those that can still be answered."""
        return self.filter(spent_at=None, expires_at__gt=now)

    def due(self, now: datetime) -> Self:
        """Those that are to be pushed now."""
        return self.open(now).filter(due_at__lte=now, pushes__lt=MAX_PUSHES)

    def take(self, code_hash: str, *, now: datetime, until: datetime) -> int:
        """Due -> being pushed with this code, by the caller alone; due again at `until` if nothing more is heard."""
        return self.due(now).update(code_hash=code_hash, due_at=until, pushes=models.F("pushes") + 1)

    def count_try(self, now: datetime) -> int:
        """1 while there are tries left; the try is used up whatever the code was."""
        return self.open(now).filter(tries__lt=MAX_TRIES).update(tries=models.F("tries") + 1)

    def spend(self, now: datetime) -> int:
        """Open -> spent: its address has another owner now."""
        return self.filter(spent_at=None).update(spent_at=now)


class AddressChallenge(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, db_index=False)
    requested_by = models.CharField(max_length=150, help_text="Only they may answer: person:name, device:id, key:name.")
    code_hash = models.CharField(max_length=64, blank=True, editable=False, help_text="Of the code pushed last.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, help_text="When it is to be pushed; empty once it was.")
    pushes = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    spent_at = models.DateTimeField(null=True)

    objects = AddressChallengeQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["channel", "created_at"], name="challenge_channel_idx"),
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="challenge_due_idx"),
            models.Index(fields=["expires_at"], name="challenge_expires_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} asked by {self.requested_by}"
