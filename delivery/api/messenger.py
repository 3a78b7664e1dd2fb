"""A person's phones and browsers, as messenger clients register them."""

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import addresses, channels, clocks
from delivery.api import answers, possession
from delivery.api.base import CallerView
from delivery.api.callers import caller
from delivery.api.errors import Unprocessable
from delivery.api.fields import LineField, iso
from delivery.api.possession import PossessionSerializer
from delivery.models import AddressChallenge, Channel, Device
from delivery.models.channel import address_hash
from delivery.models.device import Lifecycle
from delivery.providers import canonical_name


class PersonView(CallerView):
    """For persons alone: a backend's key stands for nobody."""

    rate = "register"

    def person(self, request: Request) -> User:
        person = caller(request).person
        if person is None:
            raise PermissionDenied("For persons only")
        return person


class MessengerDeviceSerializer(PossessionSerializer):
    device_token = serializers.CharField(max_length=addresses.MAX_ADDRESS_CHARS, trim_whitespace=False)
    platform = LineField(max_length=30)
    provider = LineField(max_length=20, required=False, allow_null=True)
    device_name = LineField(max_length=200, required=False, allow_blank=True, allow_null=True)


class RegisterView(PersonView):
    """`POST /api/v1/messenger/devices/register`: 201 the first time, 200 with the same id after that."""

    @extend_schema(
        request=MessengerDeviceSerializer,
        responses=answers.shape(
            "MessengerRegistered",
            status=answers.text(),
            device_token_id=answers.count(),
            user_id=answers.count(),
            platform=answers.text(),
        ),
    )
    def post(self, request: Request) -> Response:
        person = self.person(request)
        given = MessengerDeviceSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        new = _registration(said)
        known: Channel | None = None

        def attempt(answered: AddressChallenge | None) -> channels.Registered | channels.NotRegistered:
            nonlocal known
            with transaction.atomic():
                one_at_a_time(person)
                known = channels.of_person(person).of_address(new.provider, new.address).usable().first()
                device = known.device if known is not None else new_device(person)
                describe(device, platform=said["platform"], name=said.get("device_name") or "")
                return registered_or_undone(device, new, caller(request).name, answered)

        made = possession.register(self, caller(request), new, said, attempt)
        answer = {
            "status": "registered" if known is None else "updated",
            "device_token_id": made.channel.pk,
            "user_id": person.pk,
            "platform": said["platform"],
        }
        return Response(answer, status=201 if known is None else 200)


def _registration(said: dict[str, Any]) -> channels.Registration:
    provider = canonical_name(said.get("provider") or addresses.provider_of_address(said["device_token"]))
    if provider not in addresses.provider_names():
        raise Unprocessable({"provider": ["No such provider"]})
    try:
        return channels.Registration(provider, addresses.read(provider, said["device_token"]))
    except addresses.BadAddress as error:
        raise Unprocessable({"device_token": [str(error)]}) from None


def one_at_a_time(person: User) -> None:
    """Until the transaction ends, nobody else makes a device of this person: the same call sent twice makes one."""
    User.objects.select_for_update().get(pk=person.pk)


def new_device(owner: User, device_id: str | None = None) -> Device:
    """A phone or browser of this person: no site, no key."""
    return Device.objects.create(
        device_id=device_id or f"own-{secrets.token_hex(8)}", owner=owner, lifecycle=Lifecycle.ACTIVE
    )


def registered_or_undone(
    device: Device, new: channels.Registration, actor: str, answered: AddressChallenge | None
) -> channels.Registered | channels.NotRegistered:
    """Register; where that is refused, the transaction around it leaves nothing: no device without its channel."""
    made = channels.register(
        device, new, actor=actor, now=clocks.db_now(), movable=Device.objects.none(), answered=answered
    )
    if isinstance(made, channels.NotRegistered):
        transaction.set_rollback(True)
    return made


def describe(device: Device, *, platform: str, name: str) -> None:
    Device.objects.filter(pk=device.pk).update(platform=platform, name=name or device.name)


class UnregisterView(PersonView):
    """`DELETE /api/v1/messenger/devices/{device_token}`: no more messages to this address of the caller's own."""

    @extend_schema(
        request=None,
        responses=answers.shape("MessengerUnregistered", success=serializers.BooleanField(), message=answers.text()),
    )
    def delete(self, request: Request, device_token: str) -> Response:
        own = channels.of_person(self.person(request)).usable()
        spelling = addresses.spelling(addresses.provider_of_address(device_token), device_token)
        named = own.filter(address_hash__in=[address_hash(device_token), address_hash(spelling)])
        gone = channels.unregister(named, by="owner", now=clocks.db_now())
        if not gone:
            return Response({"success": False, "message": "No such device"}, status=404)
        return Response({"success": True, "message": "Device unregistered"})


class MessengerDevicesView(PersonView):
    """`GET /api/v1/messenger/devices`: the caller's active ones, the newest first. The address is never shown."""

    rate = "default"

    @extend_schema(
        responses=answers.shape(
            "MessengerDevices",
            devices=answers.many(
                "MessengerDevice",
                id=answers.count(),
                platform=answers.text(),
                provider=answers.text(),
                device_name=answers.text(),
                registered_at=answers.moment(),
                last_used_at=answers.moment(),
            ),
        )
    )
    def get(self, request: Request) -> Response:
        own = channels.of_person(self.person(request)).usable().order_by("-registered_at", "-pk")
        return Response({"devices": [_messenger_device(channel) for channel in own]})


def _messenger_device(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.pk,
        "platform": channel.device.platform,
        "provider": channel.provider,
        "device_name": channel.device.name,
        "registered_at": iso(channel.registered_at),
        "last_used_at": iso(channel.last_used_at),
    }
