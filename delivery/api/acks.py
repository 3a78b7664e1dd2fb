"""Acks over HTTP. They never look at the session, and answer alike for known, unknown and foreign messages.

`one` and `many` read what came; the views below and ack_groups.py, which commits many calls at once, both go by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

RATE = "ack"
BATCH = 100
BATCH_BYTES = 256 * 1024
BATCH_KEYS = 2_000
ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body says, and the answer once that is committed."""

    proven: Sequence[acks.ProvenAck]
    answer: dict[str, Any]


def one(data: object, key_of: str | None) -> Reading:
    """The body of one ack. `key_of`: the device whose key came with it. Refusals are exceptions of the API."""
    try:
        ack = acks.parse(data)
        if key_of is not None and ack.device_id not in (None, key_of):
            raise PermissionDenied("The body names another device than the key")
        proven = acks.prove(ack, key_of=key_of)
    except acks.BadAck as error:
        raise Unprocessable({error.field_name: [error.text]}) from None
    except acks.WrongProof as error:
        raise AuthenticationFailed(str(error)) from None
    return Reading([proven], {"status": ACKNOWLEDGED})


def many(data: object, key_of: str | None) -> Reading:
    """A list of 1 to 100: each is acknowledged, or rejected for its own form or proof."""
    if not isinstance(data, list) or not 1 <= len(data) <= BATCH:
        raise Unprocessable(f"Send a list of 1 to {BATCH} acks")
    proven: list[acks.ProvenAck] = []
    results: list[dict[str, Any]] = []
    for item in data:
        message_id = item.get("message_id") if isinstance(item, dict) else None
        try:
            ack = acks.parse(item)
            if key_of is not None and ack.device_id not in (None, key_of):
                raise acks.WrongProof("The item names another device than the key")
            proven.append(acks.prove(ack, key_of=key_of))
            results.append({"message_id": message_id, "status": ACKNOWLEDGED})
        except (acks.BadAck, acks.WrongProof) as error:
            results.append({"message_id": message_id, "status": "rejected", "detail": str(error)})
    return Reading(proven, {"results": results})


class AckingView(ApiView):
    rate = RATE
    authentication_classes = (DeviceKey,)

    def key_of(self, request: Request) -> str | None:
        """The device whose key came with the request."""
        who = request.auth
        return who.device.device_id if isinstance(who, Caller) and who.device is not None else None


class AckView(AckingView):
    """`POST /api/v1/push/ack`: 200 once the ack is committed, also on a replay."""

    @extend_schema(request=shapes.ACK, responses=shapes.ACKNOWLEDGED)
    def post(self, request: Request) -> Response:
        reading = one(request.data, self.key_of(request))
        acks.record(reading.proven)
        return Response(reading.answer)


class AckBatchView(AckingView):
    """`POST /api/v1/push/ack/batch`: 200 once those that are acknowledged are committed."""

    max_body_bytes = BATCH_BYTES
    max_keys = BATCH_KEYS

    @extend_schema(request=shapes.ACKS, responses=shapes.ACKNOWLEDGED_MANY)
    def post(self, request: Request) -> Response:
        reading = many(request.data, self.key_of(request))
        acks.record(reading.proven)
        return Response(reading.answer)
