"""Pushes: one message for one device, or the same for a list of addresses, known by its id at once."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import jobs
from delivery.addresses import provider_names, spelling
from delivery.api import reach, shapes
from delivery.api.callers import caller
from delivery.api.errors import Unprocessable
from delivery.api.orders import IDEMPOTENCY, MIB, SendingView, content, now_text
from delivery.api.serializers import AgentPushSerializer, BulkSerializer, SendSerializer
from delivery.models import Channel
from delivery.priority import Priority
from delivery.providers import canonical_name


class SendView(SendingView):
    """`POST /push/send`: one message for one registered address or device; accepted means committed."""

    @extend_schema(request=SendSerializer, responses=shapes.SENT, parameters=[IDEMPOTENCY])
    def post(self, request: Request) -> Response:
        body = SendSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        once = self.once(request)
        if before := self.accepted_before(request, once):
            [message] = before.values()
            return Response(_sent(str(message.message_id), asked.get("platform") or message.provider))
        channel: Channel | None = None
        if "device_id" in asked:
            device = self.device_or_404(request, asked["device_id"])
        else:
            channel = self.channels(request, asked["platform"], [asked["device_token"]]).get(asked["device_token"])
            if channel is None:
                return Response(_sent(None, asked["platform"]))
            device = channel.device
        order = self.order_for(
            request,
            [device],
            name=asked["title"],
            payload=content(asked),
            priority=Priority.of(asked["priority"]),
            ttl_s=asked["ttl"],
        )
        messages = jobs.accept_at_once(order, [device], {device.pk: channel.pk} if channel else None, once=once)
        message = messages[device.device_id]
        return Response(_sent(str(message.message_id), asked.get("platform") or message.provider))

    def channels(self, request: Request, platform: str, addresses: Sequence[str]) -> dict[str, Channel]:
        """The registered channels in the caller's reach, by address as it was given."""
        provider = canonical_name(platform)
        if provider not in provider_names():
            raise Unprocessable({"platform": [f"must be one of {', '.join(sorted(provider_names()))}"]})
        spelled = {address: spelling(provider, address) for address in addresses}
        found = (
            Channel.objects.usable()
            .of_addresses(provider, spelled.values())
            .filter(device__in=reach.managed_devices(caller(request)))
            .select_related("device")
        )
        by_spelling = {channel.address: channel for channel in found}
        return {given: by_spelling[stored] for given, stored in spelled.items() if stored in by_spelling}


class SendBulkView(SendView):
    """`POST /push/send-bulk`: the same for up to 1,000 addresses. `success_count` counts accepted orders."""

    max_body_bytes = MIB
    max_keys = 20_000

    @extend_schema(request=BulkSerializer, responses=shapes.SENT_MANY, parameters=[IDEMPOTENCY])
    def post(self, request: Request) -> Response:
        body = BulkSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        addresses: list[str] = asked["device_tokens"]
        once = self.once(request)
        messages = self.accepted_before(request, once) or {}
        channels = self.channels(request, asked["platform"], addresses)
        devices = {channel.device.pk: channel.device for channel in channels.values()}
        if devices and not messages:
            order = self.order_for(
                request,
                list(devices.values()),
                name=asked["title"],
                payload=content(asked),
                priority=Priority.of(asked["priority"]),
                ttl_s=asked["ttl"],
            )
            messages = jobs.accept_at_once(
                order, list(devices.values()), {each.device.pk: each.pk for each in channels.values()}, once=once
            )
        results: list[dict[str, Any]] = []
        for index, address in enumerate(addresses):
            channel = channels.get(address)
            message = messages.get(channel.device.device_id) if channel is not None else None
            if message is None:
                results.append({"index": index, "success": False, "code": "unknown_address"})
            else:
                results.append({"index": index, "success": True, "message_id": str(message.message_id)})
        accepted = sum(result["success"] for result in results)
        return Response(
            {
                "success": accepted > 0,
                "message": f"{accepted} of {len(addresses)} accepted",
                "platform": asked["platform"],
                "total": len(addresses),
                "success_count": accepted,
                "failure_count": len(addresses) - accepted,
                "timestamp": now_text(),
                "details": {"results": results},
            }
        )


class AgentPushView(SendingView):
    """`POST /agents/{device_id}/push`: a technician's message for one device."""

    @extend_schema(request=AgentPushSerializer, responses=shapes.AGENT_PUSH, parameters=[IDEMPOTENCY])
    def post(self, request: Request, device_id: str) -> Response:
        body = AgentPushSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        once = self.once(request)
        device = self.device_or_404(request, device_id)
        shown = {"title": asked["title"], "body": asked["body"] or asked["message"], "data": asked["data"]}
        order = self.order_for(
            request,
            [device],
            name=asked["title"] or "Push",
            payload=content(shown),
            priority=Priority.of(asked["priority"]),
        )
        messages = self.accepted_before(request, once) or jobs.accept_at_once(order, [device], once=once)
        message_id = str(messages[device.device_id].message_id)
        said = f"Push notification sent to {device.device_id}"
        return Response(
            {
                "message": said,
                "device_id": device.device_id,
                "message_id": message_id,
                "response": {
                    "status": "success",
                    "message": said,
                    "device_id": device.device_id,
                    "message_id": message_id,
                    "timestamp": now_text(),
                },
            }
        )


def _sent(message_id: str | None, platform: str) -> dict[str, Any]:
    accepted = message_id is not None
    return {
        "success": accepted,
        "message": "Accepted"
        if accepted
        else "This address is not registered with a device of yours; nothing was sent",
        "message_id": message_id,
        "platform": platform,
        "timestamp": now_text(),
        "details": {} if accepted else {"code": "unknown_address"},
    }
