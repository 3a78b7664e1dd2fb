"""Acks over HTTP. They never look at the session, and answer alike for known, unknown and foreign messages."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import acks
from delivery.api import shapes
from delivery.api.base import ApiView
from delivery.api.callers import Caller, DeviceKey
from delivery.api.errors import Unprocessable

BATCH = 100
ACKNOWLEDGED = "acknowledged"


class AckingView(ApiView):
    rate = "ack"
    authentication_classes = (DeviceKey,)

    def key_of(self, request: Request) -> str | None:
        """The device whose key came with the request."""
        who = request.auth
        return who.device.device_id if isinstance(who, Caller) and who.device is not None else None


class AckView(AckingView):
    """`POST /api/v1/push/ack`: 200 once the ack is committed, also on a replay."""

    @extend_schema(request=shapes.ACK, responses=shapes.ACKNOWLEDGED)
    def post(self, request: Request) -> Response:
        try:
            ack = acks.parse(request.data)
            key_of = self.key_of(request)
            if key_of is not None and ack.device_id not in (None, key_of):
                raise PermissionDenied("The body names another device than the key")
            proven = acks.prove(ack, key_of=key_of)
        except acks.BadAck as error:
            raise Unprocessable({error.field_name: [error.text]}) from None
        except acks.WrongProof as error:
            raise AuthenticationFailed(str(error)) from None
        acks.record([proven])
        return Response({"status": ACKNOWLEDGED})


class AckBatchView(AckingView):
    """`POST /api/v1/push/ack/batch`: a list of 1 to 100; each is acknowledged, or rejected for its form or proof."""

    max_body_bytes = 256 * 1024
    max_keys = 2_000

    @extend_schema(request=shapes.ACKS, responses=shapes.ACKNOWLEDGED_MANY)
    def post(self, request: Request) -> Response:
        items = request.data
        if not isinstance(items, list) or not 1 <= len(items) <= BATCH:
            raise Unprocessable(f"Send a list of 1 to {BATCH} acks")
        key_of = self.key_of(request)
        proven: list[acks.ProvenAck] = []
        results: list[dict[str, Any]] = []
        for item in items:
            message_id = item.get("message_id") if isinstance(item, dict) else None
            try:
                ack = acks.parse(item)
                if key_of is not None and ack.device_id not in (None, key_of):
                    raise acks.WrongProof("The item names another device than the key")
                proven.append(acks.prove(ack, key_of=key_of))
                results.append({"message_id": message_id, "status": ACKNOWLEDGED})
            except (acks.BadAck, acks.WrongProof) as error:
                results.append({"message_id": message_id, "status": "rejected", "detail": str(error)})
        acks.record(proven)
        return Response({"results": results})
