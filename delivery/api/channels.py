"""A device's channels: where its messages may go."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import addresses, channels, clocks, credentials
from delivery.api import answers, possession, reach
from delivery.api.base import AnyView
from delivery.api.callers import Caller, caller, device_of_key
from delivery.api.errors import Unprocessable
from delivery.api.fields import DeviceIdField, iso
from delivery.api.possession import PossessionSerializer
from delivery.api.refusals import not_registered
from delivery.models import AddressChallenge, Channel, Device
from delivery.providers import canonical_name

MAX_CAPABILITIES = 50


class ProofSerializer(serializers.Serializer[Any]):
    device_id = DeviceIdField()
    api_key = serializers.CharField(max_length=200, trim_whitespace=False)


class CapabilitiesField(serializers.DictField):
    """Plain values by name. Those that routing reads must have the type that it expects."""

    child = serializers.JSONField(allow_null=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        declared: dict[str, Any] = super().to_internal_value(data)
        if len(declared) > MAX_CAPABILITIES or any(len(name) > 50 for name in declared):
            raise serializers.ValidationError(f"At most {MAX_CAPABILITIES}, their names at most 50 characters long")
        if any(isinstance(value, dict | list) or len(str(value)) > 4_096 for value in declared.values()):
            raise serializers.ValidationError("Plain values, at most 4,096 characters long")
        if not isinstance(declared.get("has_gms"), bool | None):
            raise serializers.ValidationError("has_gms is true or false")
        if not isinstance(declared.get("fcm_token"), str | None):
            raise serializers.ValidationError("fcm_token is text")
        _check_mqtt_client_id(declared.get("mqtt_client_id"))
        return declared


def _check_mqtt_client_id(client_id: Any) -> None:
    if client_id is None:
        return
    try:
        addresses.read("mqtt", client_id if isinstance(client_id, str) else "")
    except addresses.BadAddress as error:
        raise serializers.ValidationError(f"mqtt_client_id: {error}") from None


class ChannelSerializer(PossessionSerializer):
    address = serializers.CharField(max_length=addresses.MAX_ADDRESS_CHARS, trim_whitespace=False)
    rank = serializers.IntegerField(min_value=0, max_value=32_767, required=False, allow_null=True)
    environment = serializers.ChoiceField(["", "production", "sandbox"], required=False, default="")
    credential = serializers.CharField(max_length=50, required=False)
    capabilities = CapabilitiesField(required=False, default=dict)
    proof = ProofSerializer(required=False, allow_null=True)


class ChannelView(AnyView):
    """`PUT /api/v1/devices/{device_id}/channels/{provider}`: the device's address with this provider.

    The same address again updates its channel; another one replaces it. An address that another owner registered is
    409 and offers a challenge, unless `proof` holds that device's id and key.
    """

    rate = "register"
    scope_write = "devices:write"

    @extend_schema(
        request=ChannelSerializer,
        responses=answers.shape(
            "Channel",
            id=answers.count(),
            device_id=answers.text(),
            provider=answers.text(),
            credential=answers.text(),
            rank=answers.count(),
            environment=answers.text(),
            state=answers.text(),
            address=answers.text(),
            registered_at=answers.moment(),
            last_used_at=answers.moment(),
        ),
    )
    def put(self, request: Request, device_id: str, provider: str) -> Response:
        who = caller(request)
        device = _own_or_managed(who, device_id)
        provider = canonical_name(provider)
        if provider not in addresses.provider_names():
            raise NotFound("No such provider")
        given = ChannelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        credential = _credential(provider, said.get("credential"))
        new = channels.Registration(
            provider,
            _address(provider, said["address"], credential),
            rank=said.get("rank"),
            environment=said["environment"],
            credential=credential,
        )
        movable = _movable(who, said.get("proof"))

        def attempt(answered: AddressChallenge | None) -> channels.Registered | channels.NotRegistered:
            return _register(device, new, said["capabilities"], who, movable, answered)

        made = possession.register(self, who, new, said, attempt)
        return Response(as_json(made.channel), status=201 if made.created else 200)


def _own_or_managed(who: Caller, device_id: str) -> Device:
    """A person registers for their own keyless devices; for one with a key only itself and who manages it do."""
    managed = reach.managed_devices(who).filter(device_id=device_id).first()
    device = managed or reach.devices(who).filter(device_id=device_id).first()
    if device is None or (who.person is not None and managed is None and device.has_key):
        raise NotFound("Not found")
    return device


def _credential(provider: str, name: str | None) -> str | None:
    """The credential that the channel is to be sent with: a name of this server's configuration."""
    known = credentials.names(provider)
    if name is not None and name not in known:
        raise Unprocessable({"credential": [f"No such credential of {provider}. Known are: {', '.join(known)}"]})
    return name


def _address(provider: str, address: str, credential: str | None) -> str:
    try:
        return addresses.read(provider, address, credential or credentials.DEFAULT)
    except addresses.BadAddress as error:
        raise Unprocessable({"address": [str(error)]}) from None


def _movable(who: Caller, proof: dict[str, Any] | None) -> QuerySet[Device]:
    """Devices whose addresses the caller may take over."""
    if proof is None:
        return reach.managed_devices(who)
    try:
        proved = device_of_key(proof["device_id"], proof["api_key"])
    except AuthenticationFailed:
        raise Unprocessable({"proof": ["Wrong device id or key"]}) from None
    return reach.managed_devices(who) | Device.objects.filter(pk=proved.pk)


def _register(
    device: Device,
    new: channels.Registration,
    capabilities: dict[str, Any],
    who: Caller,
    movable: QuerySet[Device],
    answered: AddressChallenge | None,
) -> channels.Registered | channels.NotRegistered:
    now = clocks.db_now()
    with transaction.atomic():
        made = channels.register(device, new, actor=who.name, now=now, movable=movable, answered=answered)
        if isinstance(made, channels.NotRegistered):
            return made
        refusal = channels.declare(device, capabilities, actor=who.name, now=now, movable=movable)
        if refusal is not None:
            raise not_registered(refusal)
    return made


def as_json(channel: Channel) -> dict[str, Any]:
    """Never the address itself."""
    return {
        "id": channel.pk,
        "device_id": channel.device.device_id,
        "provider": channel.provider,
        "credential": channel.credential,
        "rank": channel.rank,
        "environment": channel.environment,
        "state": channel.state,
        "address": channel.masked_address,
        "registered_at": iso(channel.registered_at),
        "last_used_at": iso(channel.last_used_at),
    }
