"""What the owner of a device allows on it."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import grants
from delivery.api import answers, reach
from delivery.api.base import AnyView
from delivery.api.callers import Caller, caller
from delivery.api.serializers import Strict
from delivery.models import Device

FLAGS = {name: serializers.BooleanField() for name in grants.PERMISSIONS}
GRANTS = answers.shape(
    "Grants",
    status=answers.text(),
    data=answers.shape(
        "GrantsData",
        device_id=answers.text(),
        permissions=answers.shape("Permissions", **FLAGS),
        capabilities=answers.shape("SystemCapabilities", **FLAGS),
        message=answers.text(),
    ),
)


class PermissionsField(Strict):
    root_access = serializers.BooleanField(required=False)
    command_execution = serializers.BooleanField(required=False)
    process_monitoring = serializers.BooleanField(required=False)
    filesystem_access = serializers.BooleanField(required=False)
    network_monitoring = serializers.BooleanField(required=False)


class GrantSerializer(serializers.Serializer[Any]):
    permissions = PermissionsField()


class GrantsView(AnyView):
    """`GET`, `PATCH /devices/device/{device_id}/permissions`. Only the device itself and its owner may grant:
    a technician reads what they may order."""

    scope_read = "devices:read"

    @extend_schema(responses=GRANTS)
    def get(self, request: Request, device_id: str) -> Response:
        return _answer(_seen(caller(request), device_id), "Permissions retrieved")

    @extend_schema(request=GrantSerializer, responses=GRANTS)
    def patch(self, request: Request, device_id: str) -> Response:
        who = caller(request)
        device = _seen(who, device_id)
        given = GrantSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if not _speaks_for(who, device):
            raise PermissionDenied("Only the device and its owner grant permissions")
        grants.grant(device, given.validated_data["permissions"], actor=who.name)
        return _answer(device, "Permissions updated")


def _seen(who: Caller, device_id: str) -> Device:
    device = reach.devices(who).filter(device_id=device_id).first()
    if device is None:
        raise Http404
    return device


def _speaks_for(who: Caller, device: Device) -> bool:
    return who.device is not None or (who.person is not None and device.owner_id == who.person.pk)


def _answer(device: Device, message: str) -> Response:
    return Response(
        {
            "status": "success",
            "data": {
                "device_id": device.device_id,
                "permissions": grants.granted(device),
                "capabilities": grants.capabilities(device),
                "message": message,
            },
        }
    )
