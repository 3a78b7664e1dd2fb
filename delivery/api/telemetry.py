"""Numbers and lines that devices collect and send in batches."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import clocks, telemetry
from delivery.api import answers
from delivery.api.base import AnyView, DeviceView
from delivery.api.callers import caller, calling_device
from delivery.api.errors import BadRequest, Unprocessable
from delivery.api.fields import DeviceIdField, LineField, Moment, Number, SmallJson
from delivery.api.refusals import unless_own
from delivery.telemetry import Entry

BATCH_BODY_BYTES = 256 * 1024
BATCH_KEYS = 10_000
MAX_BATCH_ID_CHARS = 64
BATCH_ID = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


def _percent() -> Number:
    return Number(min_value=0, max_value=100)


class MetricsSerializer(serializers.Serializer[Any]):
    device_id = DeviceIdField()
    cpu_usage = _percent()
    memory_usage = _percent()
    disk_usage = _percent()
    network_latency_ms = Number(min_value=0, required=False, allow_null=True)
    uptime_seconds = Number(min_value=0, required=False, allow_null=True)
    collection_interval_seconds = Number(min_value=0, required=False, allow_null=True)
    timestamp = Moment(required=False, allow_null=True)


class TelemetryView(DeviceView):
    """`POST /api/v1/agent/telemetry`: one measurement, or a list of them.

    The same `Idempotency-Key` again stores nothing and answers the same.
    """

    max_body_bytes = BATCH_BODY_BYTES
    max_keys = BATCH_KEYS

    @extend_schema(
        request=MetricsSerializer(many=True),
        parameters=[BATCH_ID],
        responses=answers.enveloped("Telemetry", device_id=answers.text(), saved_count=answers.count()),
    )
    def post(self, request: Request) -> Response:
        device = calling_device(request)
        if request.data == []:
            raise BadRequest("The list is empty")
        data = request.data if isinstance(request.data, list) else [request.data]
        given = MetricsSerializer(data=data, many=True)
        given.is_valid(raise_exception=True)
        for metrics in given.validated_data:
            unless_own(device, metrics["device_id"])
        saved = telemetry.save(
            [_metrics_entry(metrics) for metrics in given.validated_data],
            sender=caller(request).name,
            device=device,
            batch_id=_batch_id(request),
            now=clocks.db_now(),
        )
        return Response(
            {
                "status": "success",
                "message": "Telemetry saved successfully",
                "data": {"device_id": device.device_id, "saved_count": saved.count},
            }
        )


def _metrics_entry(metrics: dict[str, Any]) -> Entry:
    meta = {key: value for key, value in metrics.items() if key not in ("device_id", "timestamp") and value is not None}
    return Entry(type="metrics", message="", meta=meta, timestamp=metrics.get("timestamp"))


class LineSerializer(serializers.Serializer[Any]):
    type = LineField(max_length=50)
    message = serializers.CharField(max_length=4_000, required=False, allow_blank=True, allow_null=True)
    meta = SmallJson(max_chars=20_000, required=False, allow_null=True)
    timestamp = Moment(required=False, allow_null=True)


class FlushView(AnyView):
    """`POST /api/v1/telemetry/flush`: what a client buffered, as one batch.

    An `Idempotency-Key` header becomes the batch's id: the same one again stores nothing and answers the same.
    """

    scope_write = "devices:write"
    max_body_bytes = BATCH_BODY_BYTES
    max_keys = BATCH_KEYS

    @extend_schema(
        request=LineSerializer(many=True),
        parameters=[BATCH_ID],
        responses=answers.shape("Flush", batch_id=answers.text(), saved_count=answers.count()),
    )
    def post(self, request: Request) -> Response:
        if request.data == []:
            raise BadRequest("The list is empty")
        given = LineSerializer(data=request.data, many=True)
        given.is_valid(raise_exception=True)
        who = caller(request)
        saved = telemetry.save(
            [_line_entry(line) for line in given.validated_data],
            sender=who.name,
            device=who.device,
            batch_id=_batch_id(request),
            now=clocks.db_now(),
        )
        return Response({"batch_id": saved.batch_id, "saved_count": saved.count})


def _line_entry(line: dict[str, Any]) -> Entry:
    meta = line.get("meta")
    return Entry(
        type=line["type"],
        message=line.get("message") or "",
        meta=meta if isinstance(meta, dict) else {} if meta is None else {"value": meta},
        timestamp=line.get("timestamp"),
    )


def _batch_id(request: Request) -> str | None:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not (given.isascii() and given.isprintable() and 0 < len(given) <= MAX_BATCH_ID_CHARS):
        raise Unprocessable({"Idempotency-Key": [f"1 to {MAX_BATCH_ID_CHARS} printable characters"]})
    return given
