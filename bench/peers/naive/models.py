"""Devices, and one row for each push."""

import uuid
from typing import ClassVar

from django.db import models


class Device(models.Model):
    name = models.CharField(max_length=100, unique=True)
    token = models.CharField(max_length=300)

    objects: ClassVar[models.Manager["Device"]] = models.Manager()

    class Meta:
        app_label = "naive"


class Push(models.Model):
    message_id = models.UUIDField(unique=True, default=uuid.uuid4)
    device = models.ForeignKey(Device, on_delete=models.CASCADE)
    title = models.CharField(max_length=200)
    body = models.TextField()
    data = models.JSONField(default=dict)
    status = models.CharField(max_length=20, default="pending", db_index=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    sent_at = models.DateTimeField(null=True)
    provider_message_id = models.CharField(max_length=255, default="")
    error = models.TextField(default="")

    objects: ClassVar[models.Manager["Push"]] = models.Manager()

    class Meta:
        app_label = "naive"
