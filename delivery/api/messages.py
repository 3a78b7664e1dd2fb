"""Messages: a device's inbox, and one message's story."""

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import inbox, timeline
from delivery.api import reach, shapes
from delivery.api.base import AnyView, DeviceView
from delivery.api.callers import caller, calling_device
from delivery.priority import Priority


class PendingView(DeviceView):
    """`GET /push/pending`: what waits for the calling device, the oldest first, until acked or expired."""

    @extend_schema(responses=shapes.PENDING)
    def get(self, request: Request) -> Response:
        device = calling_device(request)
        return Response(
            {
                "device_id": device.device_id,
                "pushes": [
                    {
                        "message_id": message.message_id,
                        "provider": message.provider,
                        "payload": message.payload,
                        "sent_at": message.sent_at.isoformat(),
                        "status": "sent",
                    }
                    for message in inbox.hand_out(device.device_id)
                ],
            }
        )


class MessageView(AnyView):
    """`GET /messages/{message_id}`: the whole timeline."""

    scope_read = "messages:read"

    @extend_schema(responses=shapes.MESSAGE)
    def get(self, request: Request, message_id: UUID) -> Response:
        message = reach.messages(caller(request)).filter(message_id=message_id).first()
        if message is None:
            raise Http404
        return Response(
            {
                "message_id": str(message.message_id),
                "device_id": message.device_id,
                "site_id": message.site_id,
                "job_id": message.job_id,
                "status": message.status,
                "late": message.late,
                "provider": message.provider,
                "fallback_from": message.fallback_from or None,
                "priority": Priority(message.priority).word,
                "attempts": message.attempt_count,
                "created_at": message.created_at.isoformat(),
                "expires_at": None if message.paused else message.expires_at.isoformat(),
                "sent_at": _text(message.sent_at),
                "received_at": _text(message.received_at),
                "acked_at": _text(message.acked_at),
                "opened_at": _text(message.opened_at),
                "latency_ms": message.latency_ms,
                "clock_skewed": message.clock_skewed,
                "error_code": message.error_code or None,
                "error_message": message.error_message or None,
                "verdict": message.verdict or None,
                "evidence": message.evidence or None,
                "timeline": [_event(event) for event in timeline.of(message)],
            }
        )


def _event(event: timeline.Event) -> dict[str, Any]:
    said = {
        "provider": event.provider,
        "outcome": event.outcome,
        "code": event.code,
        "detail": event.detail,
        "took_ms": event.took_ms,
    }
    return {"at": event.at.isoformat(), "what": event.what, **{key: value for key, value in said.items() if value}}


def _text(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None
