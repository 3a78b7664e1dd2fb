"""One task orders, one task sends one push."""

from importlib import import_module
from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from bench.peers.naive import settings
from bench.peers.naive.models import Device, Push

RETRY_S = 10


@shared_task(name="orders.order")
def order(title: str, body: str, data: dict[str, str]) -> None:
    """Write a push for every device, and a task for every push."""
    for device in Device.objects.all():
        push = Push.objects.create(device=device, title=title, body=body, data=data)
        send.delay(push.pk)


@shared_task(name="pushes.send", bind=True, max_retries=5)
def send(task: "Task[Any, Any]", push_id: int) -> None:
    """Send one push and save what came of it."""
    push = Push.objects.select_related("device").get(pk=push_id)
    if push.status != "pending":
        return
    try:
        push.provider_message_id = import_module(settings.PUSH_SENDER).post(push)
    except OSError as error:
        push.error = str(error)
        push.save()
        raise task.retry(exc=error, countdown=RETRY_S) from error
    push.status = "sent"
    push.sent_at = timezone.now()
    push.save()
