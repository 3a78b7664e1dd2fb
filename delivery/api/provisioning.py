"""A new device asks for its key."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import registration
from delivery.api import answers
from delivery.api.base import ApiView
from delivery.api.fields import LineField, SmallJson, iso
from delivery.api.refusals import not_provisioned
from delivery.models.keys import key_hash
from delivery.registration import Introduction, NotProvisioned

LOOPBACK = ("127.0.0.1", "::1")


class ProvisionSerializer(serializers.Serializer[Any]):
    site_id = LineField(max_length=100)
    bootstrap_key = serializers.CharField(max_length=200, trim_whitespace=False)
    device_name = LineField(max_length=200, required=False, allow_blank=True, allow_null=True)
    device_type = LineField(max_length=50, default="pos_terminal")
    os_details = SmallJson(required=False, allow_null=True)
    provisioning_source = LineField(max_length=50, default="physical")


class ProvisionView(ApiView):
    """`POST /api/v1/devices/bootstrap-provision`: a device id and a key, shown this once.

    Counted by site and key together, so that nobody uses up a site's share with wrong keys.
    """

    rate = "provision"

    @extend_schema(
        request=ProvisionSerializer,
        responses=answers.enveloped(
            "Provisioned",
            device_id=answers.text(),
            api_key=answers.text(),
            site_id=answers.text(),
            created_at=answers.moment(),
            epoch_id=answers.text(),
        ),
    )
    def post(self, request: Request) -> Response:
        given = ProvisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        self.spend(key_hash(f"{said['site_id']}\n{said['bootstrap_key']}"))
        made = registration.provision(
            Introduction(
                site_id=said["site_id"],
                bootstrap_key=said["bootstrap_key"],
                name=said.get("device_name") or "",
                device_type=said["device_type"],
                os_details=said.get("os_details"),
                source=said["provisioning_source"],
            ),
            on_this_machine=settings.DEBUG and self.address() in LOOPBACK and "X-Forwarded-For" not in request.headers,
        )
        if isinstance(made, NotProvisioned):
            raise not_provisioned(made)
        return Response(
            {
                "status": "success",
                "message": "Device provisioned successfully",
                "data": {
                    "device_id": made.device.device_id,
                    "api_key": made.key,
                    "site_id": made.device.site_id,
                    "created_at": iso(made.device.created_at),
                    "epoch_id": made.epoch_id,
                },
            }
        )
