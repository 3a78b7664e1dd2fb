"""What an agent says about itself: who it is, and that it is there."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import addresses, channels, clocks, heartbeats, registration
from delivery.api import answers, reach
from delivery.api.base import AnyView, DeviceView
from delivery.api.callers import caller, calling_device
from delivery.api.errors import Unprocessable
from delivery.api.fields import DeviceIdField, LineField, Moment, SmallJson, iso
from delivery.api.refusals import not_registered, unless_own
from delivery.models import Device
from delivery.registration import Dna

FACTS = ("mac_address", "os_details", "local_ip", "wan_ip", "firmware_version", "peripherals", "device_source")


class DnaSerializer(serializers.Serializer[Any]):
    device_id = DeviceIdField()
    site_id = LineField(max_length=100, required=False, allow_null=True, allow_blank=True)
    device_name = LineField(max_length=200, required=False, allow_null=True, allow_blank=True)
    device_type = LineField(max_length=50)
    mac_address = LineField(max_length=50, required=False, allow_null=True, allow_blank=True)
    os_details = SmallJson(required=False, allow_null=True)
    local_ip = LineField(max_length=100, required=False, allow_null=True, allow_blank=True)
    wan_ip = LineField(max_length=100, required=False, allow_null=True, allow_blank=True)
    firmware_version = LineField(max_length=100, required=False, allow_null=True, allow_blank=True)
    peripherals = SmallJson(max_chars=20_000, required=False, allow_null=True)
    device_source = LineField(max_length=50, required=False, allow_null=True, allow_blank=True)
    device_token = serializers.CharField(
        max_length=addresses.MAX_ADDRESS_CHARS, required=False, allow_null=True, allow_blank=True
    )


class DnaView(DeviceView):
    """`POST /api/v1/agent/device-dna`: who the device is. A `device_token` becomes the channel of its system.

    `site_id` is read and left alone: a device does not move itself.
    """

    rate = "register"

    @extend_schema(
        request=DnaSerializer,
        responses=answers.enveloped(
            "Dna",
            device_id=answers.text(),
            site_id=answers.text(),
            lifecycle_state=answers.text(),
            mac_address=answers.text(),
            os_details=serializers.JSONField(),
            local_ip=answers.text(),
            wan_ip=answers.text(),
            peripherals=serializers.JSONField(),
            created=serializers.BooleanField(),
        ),
    )
    def post(self, request: Request) -> Response:
        device = calling_device(request)
        given = DnaSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        unless_own(device, said["device_id"])
        new = _channel(said)
        with transaction.atomic():
            created = registration.describe(device, _dna(said))
            if new is not None:
                _register(device, new)
        return Response(
            {
                "status": "success",
                "message": "Device registered successfully",
                "data": {
                    "device_id": device.device_id,
                    "site_id": device.site_id,
                    "lifecycle_state": device.lifecycle,
                    **{
                        fact: device.dna.get(fact)
                        for fact in ("mac_address", "os_details", "local_ip", "wan_ip", "peripherals")
                    },
                    "created": created,
                },
            }
        )


def _dna(said: dict[str, Any]) -> Dna:
    return Dna(
        name=said.get("device_name") or "",
        device_type=said["device_type"],
        platform=_system(said)[:30],
        facts={fact: said.get(fact) for fact in FACTS},
    )


def _system(said: dict[str, Any]) -> str:
    """The operating system in words: a string as it came, or `name`, `os` or `platform` of an object."""
    os_details = said.get("os_details")
    if isinstance(os_details, dict):
        os_details = next((os_details[key] for key in ("name", "os", "platform", "system") if os_details.get(key)), "")
    return os_details if isinstance(os_details, str) else ""


def _channel(said: dict[str, Any]) -> channels.Registration | None:
    """What the `device_token` asks for, if there is one."""
    token = said.get("device_token")
    if not token:
        return None
    provider = addresses.provider_of_os(f"{_system(said)} {said['device_type']}")
    if provider is None:
        raise Unprocessable({"device_token": ["os_details must name the system: Android, Windows, iOS, iPadOS"]})
    try:
        return channels.Registration(provider, addresses.read(provider, token))
    except addresses.BadAddress as error:
        raise Unprocessable({"device_token": [str(error)]}) from None


def _register(device: Device, new: channels.Registration) -> None:
    actor = f"device:{device.device_id}"
    made = channels.register(device, new, actor=actor, now=clocks.db_now(), movable=Device.objects.none())
    if isinstance(made, channels.NotRegistered):
        raise not_registered(made)


class HeartbeatSerializer(serializers.Serializer[Any]):
    device_id = DeviceIdField()
    timestamp = Moment(required=False, allow_null=True)
    status = LineField(max_length=50, required=False, allow_null=True, allow_blank=True)


class HeartbeatView(DeviceView):
    """`POST /api/v1/agent/heartbeat`, every 10 to 30 s. What else the body holds is ignored."""

    @extend_schema(
        request=HeartbeatSerializer,
        responses=answers.enveloped("Heartbeat", device_id=answers.text(), last_heartbeat_at=answers.moment()),
    )
    def post(self, request: Request) -> Response:
        device = calling_device(request)
        given = HeartbeatSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        unless_own(device, given.validated_data["device_id"])
        heard_at = heartbeats.record(device, device_time=given.validated_data.get("timestamp"), now=clocks.db_now())
        return Response(
            {
                "status": "success",
                "message": "Heartbeat updated successfully",
                "data": {"device_id": device.device_id, "last_heartbeat_at": iso(heard_at)},
            }
        )


class StatusView(AnyView):
    """`GET /api/v1/agent/{device_id}/status`: `online` is a heartbeat within 120 s, `unknown` none ever."""

    scope_read = "devices:read"

    @extend_schema(
        responses=answers.shape(
            "AgentStatus",
            data=answers.shape(
                "AgentStatusData",
                device_id=answers.text(),
                lifecycle_state=answers.text(),
                connectivity_state=answers.text(),
                health_state=answers.text(),
                last_heartbeat_at=answers.moment(),
            ),
        )
    )
    def get(self, request: Request, device_id: str) -> Response:
        device = reach.devices(caller(request)).filter(device_id=device_id).first()
        if device is None:
            raise NotFound("Not found")
        return Response(
            {
                "status": "success",
                "message": "Device status",
                "data": {
                    "device_id": device.device_id,
                    "lifecycle_state": device.lifecycle,
                    "connectivity_state": device.connectivity_state(clocks.db_now()),
                    "health_state": device.health,
                    "last_heartbeat_at": iso(device.last_heartbeat_at),
                },
            }
        )
