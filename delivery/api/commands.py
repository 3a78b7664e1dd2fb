"""Commands for one device: queued by technicians, fetched, taken and reported by the device."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import commands, grants
from delivery.api import answers, paging, reach
from delivery.api.base import AnyView, DeviceView
from delivery.api.callers import caller, calling_device
from delivery.api.errors import Conflict, Unprocessable
from delivery.api.fields import Moment, SmallJson, iso
from delivery.api.orders import IDEMPOTENCY, SendingView, idempotency_key
from delivery.commands import NotQueued
from delivery.models import Device, DeviceCommand
from delivery.models.device_command import CommandStatus, CommandType

REPORT_BODY_BYTES = 256 * 1024
"""Agents report 64 KiB of what a command printed, and as much of its errors."""
MAX_LISTED = 200

COMMAND_FIELDS = {
    "command_id": answers.text(),
    "command_type": serializers.ChoiceField(CommandType.choices),
    "payload": serializers.JSONField(allow_null=True),
    "status": serializers.ChoiceField(CommandStatus.choices),
    "created_at": answers.moment(),
}
COMMAND = answers.shape("Command", **COMMAND_FIELDS)


class CommandSerializer(serializers.Serializer[Any]):
    command_type = serializers.ChoiceField(CommandType.choices)
    payload = serializers.DictField(required=False, allow_null=True)

    def validate_payload(self, payload: dict[str, Any] | None) -> dict[str, Any] | None:
        if payload is not None and len(str(payload)) > 20_000:
            raise serializers.ValidationError("More than 20000 characters")
        return payload


class CommandReportSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField([CommandStatus.COMPLETED, CommandStatus.FAILED])
    executed_at = Moment(required=False, allow_null=True)
    result = SmallJson(max_chars=REPORT_BODY_BYTES, required=False, allow_null=True)


class QueueView(SendingView):
    """`POST /devices/{device_id}/commands`: 201 once the command and the push that wakes the device are committed."""

    scope_read = "devices:read"
    scope_write = "devices:write"

    @extend_schema(request=CommandSerializer, responses={201: COMMAND}, parameters=[IDEMPOTENCY])
    def post(self, request: Request, device_id: str) -> Response:
        device = self.device_or_404(request, device_id)
        body = CommandSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        wish = commands.Wish(
            command_type=asked["command_type"],
            payload=asked.get("payload"),
            queued_by=caller(request).name,
            reach=self.sites_of(request),
        )
        if missing := grants.missing(device, wish.command_type, wish.payload):
            raise PermissionDenied({"missing_permissions": missing})
        queued = commands.queue(device, wish, idempotency_key=idempotency_key(request))
        if queued is NotQueued.KEY_REUSED:
            raise Unprocessable({"Idempotency-Key": [queued.value]})
        if isinstance(queued, NotQueued):
            raise Conflict(queued.value)
        return Response(as_json(queued), status=201)


class WaitingView(DeviceView):
    """`GET /devices/pending`: the commands that wait for the calling device, the oldest first, at most 50."""

    @extend_schema(responses=answers.many("Command", **COMMAND_FIELDS))
    def get(self, request: Request) -> Response:
        return Response([as_json(command) for command in commands.waiting_for(calling_device(request))])


class TakeView(DeviceView):
    """`POST /devices/{device_id}/commands/{command_id}/ack`: the device has the command and will do it."""

    @extend_schema(request=None, responses=COMMAND)
    def post(self, request: Request, device_id: str, command_id: str) -> Response:
        device = calling_device(request)
        if device_id != device.device_id:
            raise PermissionDenied("The address names another device")
        command = _own(device, command_id)
        if not commands.take(command):
            raise Conflict("The time of this command is over: do not do it")
        return Response(as_json(command))


class CommandReportView(DeviceView):
    """`PUT` or `POST /devices/{command_id}/status`: how it went. The first report wins, a replay changes nothing."""

    max_body_bytes = REPORT_BODY_BYTES

    @extend_schema(request=CommandReportSerializer, responses=COMMAND)
    def put(self, request: Request, command_id: str) -> Response:
        command = _own(calling_device(request), command_id)
        body = CommandReportSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        commands.finish(command, said["status"], executed_at=said.get("executed_at"), result=said.get("result"))
        return Response(as_json(command))

    @extend_schema(request=CommandReportSerializer, responses=COMMAND)
    def post(self, request: Request, command_id: str) -> Response:
        return self.put(request, command_id)


class CommandsView(AnyView):
    """`GET /devices/device/{device_id}/commands?limit=50`: what a device was told and how it went, the newest first."""

    scope_read = "devices:read"

    @extend_schema(
        parameters=[OpenApiParameter("limit", int, description=f"1 to {MAX_LISTED}, 50 if not given.")],
        responses=answers.many(
            "CommandHistory",
            **COMMAND_FIELDS,
            sent_at=answers.moment(),
            executed_at=answers.moment(),
            result=serializers.JSONField(allow_null=True),
        ),
    )
    def get(self, request: Request, device_id: str) -> Response:
        limit = paging.number(request, "limit", 50, maximum=MAX_LISTED)
        device = reach.devices(caller(request)).filter(device_id=device_id).first()
        if device is None:
            raise Http404
        rows = DeviceCommand.objects.filter(device=device).order_by("-id")[:limit]
        return Response(
            [
                {
                    **as_json(command),
                    "sent_at": iso(command.sent_at),
                    "executed_at": iso(command.executed_at),
                    "result": command.result,
                }
                for command in rows
            ]
        )


def as_json(command: DeviceCommand) -> dict[str, Any]:
    return {
        "command_id": command.command_id,
        "command_type": command.command_type,
        "payload": command.payload,
        "status": command.status,
        "created_at": iso(command.created_at),
    }


def _own(device: Device, command_id: str) -> DeviceCommand:
    command = DeviceCommand.objects.filter(device=device, command_id=command_id).select_related("wake_up").first()
    if command is None:
        raise Http404
    return command
