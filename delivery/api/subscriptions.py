"""Push subscriptions of browsers and apps, as the HOMEPOT service worker makes them."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import addresses, channels, clocks, credentials
from delivery.api import answers, possession
from delivery.api.base import AnyView, ApiView
from delivery.api.callers import Bearer, Caller, DeviceKey, SessionByOrigin, caller
from delivery.api.errors import BadRequest, Unavailable
from delivery.api.fields import DeviceIdField, LineField, SmallJson, iso
from delivery.api.messenger import describe, new_device, one_at_a_time, registered_or_undone
from delivery.api.possession import PossessionSerializer
from delivery.models import AddressChallenge, Device
from delivery.providers import canonical_name, get_push_provider
from delivery.providers.base import ConfigError


class SubscribeSerializer(PossessionSerializer):
    platform = LineField(max_length=20)
    device_token = serializers.CharField(max_length=addresses.MAX_ADDRESS_CHARS, trim_whitespace=False)
    device_info = SmallJson(required=False, allow_null=True)
    user_id = serializers.JSONField(required=False, allow_null=True)
    device_id = DeviceIdField(required=False, allow_null=True)


class SubscribeView(AnyView):
    """`POST /api/v1/push/subscribe`: a device with its key for itself, a signed-in person for a device of their own.

    A session needs no CSRF token here, but an `Origin` of ours: a service worker has no token.
    """

    rate = "register"
    authentication_classes = (DeviceKey, Bearer, SessionByOrigin)

    @extend_schema(
        request=SubscribeSerializer,
        responses={
            201: answers.shape(
                "Subscribed",
                success=serializers.BooleanField(),
                message=answers.text(),
                platform=answers.text(),
                device_id=answers.text(),
                timestamp=answers.moment(),
            )
        },
    )
    def post(self, request: Request) -> Response:
        given = SubscribeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        new = _registration(said["platform"], said["device_token"])
        who = caller(request)

        def attempt(answered: AddressChallenge | None) -> channels.Registered | channels.NotRegistered:
            with transaction.atomic():
                return registered_or_undone(_device(who, said, new), new, who.name, answered)

        made = possession.register(self, who, new, said, attempt)
        answer = {
            "success": True,
            "message": "Subscription stored",
            "platform": said["platform"],
            "device_id": made.channel.device.device_id,
            "timestamp": iso(made.channel.registered_at),
        }
        return Response(answer, status=201)


def _registration(platform: str, device_token: str) -> channels.Registration:
    provider = canonical_name(platform)
    if provider not in addresses.provider_names():
        raise BadRequest("No such platform")
    try:
        return channels.Registration(provider, addresses.read(provider, device_token))
    except addresses.BadAddress as error:
        raise BadRequest(str(error)) from None


def _device(who: Caller, said: dict[str, Any], new: channels.Registration) -> Device:
    """Whose channel this becomes. A device that has a key is attached by itself alone."""
    named = said.get("device_id")
    if who.device is not None:
        if named not in (None, who.device.device_id):
            raise PermissionDenied("The body names another device")
        return who.device
    if who.person is None:
        raise PermissionDenied("For devices and persons only")
    if said.get("user_id") is not None and str(said["user_id"]) not in (str(who.person.pk), who.person.username):
        raise PermissionDenied("The body names another person")
    one_at_a_time(who.person)
    if named is None:
        known = channels.of_person(who.person).of_address(new.provider, new.address).first()
        return known.device if known is not None else _described(new_device(who.person), said)
    device = Device.objects.filter(device_id=named).first()
    if device is None:
        return _described(new_device(who.person, named), said)
    if device.owner_id != who.person.pk or device.has_key:
        raise PermissionDenied("The body names another device")
    return device


def _described(device: Device, said: dict[str, Any]) -> Device:
    info = said.get("device_info")
    words = info if isinstance(info, dict) else {}
    platform = str(words.get("platform") or said["platform"])[:30]
    describe(device, platform=platform, name=str(words.get("name") or "")[:200])
    return device


class VapidKeyView(ApiView):
    """`GET /api/v1/push/vapid-public-key`: what a browser subscribes with. Public by nature."""

    @extend_schema(
        responses=answers.shape(
            "VapidPublicKey", publicKey=answers.text(), platform=answers.text(), timestamp=answers.moment()
        )
    )
    def get(self, request: Request) -> Response:
        public_key = _vapid_public_key()
        if public_key is None:
            raise Unavailable("Web Push is not configured on this server")
        return Response({"publicKey": public_key, "platform": "web_push", "timestamp": iso(clocks.db_now())})


def _vapid_public_key() -> str | None:
    config = credentials.usable().get("web_push", {}).get("default")
    if config is None:
        return None
    try:
        return getattr(get_push_provider("web_push", config), "public_key", None)
    except ConfigError:
        return None
