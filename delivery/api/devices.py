"""Sites and devices as their callers see them, a device's messages, and its key."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Prefetch
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import clocks, registration
from delivery.api import answers, paging, reach
from delivery.api.base import AnyView, CallerView
from delivery.api.callers import Caller, caller
from delivery.api.fields import iso
from delivery.models import Channel, Device, PushNotificationLog

MAX_PUSH_LOGS = 200


class SitesView(CallerView):
    """`GET /api/v1/sites`: the sites in the caller's reach, a page at a time."""

    scope_read = "devices:read"

    @extend_schema(
        parameters=paging.PARAMETERS,
        responses=answers.shape(
            "Sites",
            sites=answers.many(
                "Site",
                site_id=answers.text(),
                name=answers.text(),
                timezone=answers.text(),
                devices=answers.count(),
            ),
            next=answers.link(),
        ),
    )
    def get(self, request: Request) -> Response:
        sites, following = paging.page(request, reach.sites(caller(request)))
        counts = dict(
            Device.objects.filter(site__site_id__in=[site.site_id for site in sites])
            .order_by()
            .values_list("site__site_id")
            .annotate(devices=Count("pk"))
        )
        shown = [
            {
                "site_id": site.site_id,
                "name": site.name,
                "timezone": site.timezone,
                "devices": counts.get(site.site_id, 0),
            }
            for site in sites
        ]
        return Response({"sites": shown, "next": following})


class DevicesView(CallerView):
    """`GET /api/v1/devices`: the devices in the caller's reach, a page at a time; `?site=` of one site."""

    scope_read = "devices:read"

    @extend_schema(
        parameters=[*paging.PARAMETERS, OpenApiParameter("site", str)],
        responses=answers.shape(
            "Devices",
            devices=answers.many(
                "Device",
                device_id=answers.text(),
                name=answers.text(),
                site_id=answers.text(),
                platform=answers.text(),
                connectivity_state=answers.text(),
                channels=answers.many(
                    "DeviceChannel", provider=answers.text(), rank=answers.count(), state=answers.text()
                ),
            ),
            next=answers.link(),
        ),
    )
    def get(self, request: Request) -> Response:
        rows = reach.devices(caller(request))
        if "site" in request.query_params:
            rows = rows.filter(site__site_id=request.query_params["site"].replace("\x00", ""))
        channels = Prefetch("channels", Channel.objects.order_by("rank", "pk"))
        devices, following = paging.page(request, rows.prefetch_related(channels))
        now = clocks.db_now()
        shown = [
            {
                "device_id": device.device_id,
                "name": device.name,
                "site_id": device.site_id,
                "platform": device.platform,
                "connectivity_state": device.connectivity_state(now),
                "channels": _channels(device.channels.all()),
            }
            for device in devices
        ]
        return Response({"devices": shown, "next": following})


def _channels(channels: Sequence[Channel] | Any) -> list[dict[str, Any]]:
    return [{"provider": channel.provider, "rank": channel.rank, "state": channel.state} for channel in channels]


class PushLogsView(AnyView):
    """`GET /api/v1/devices/device/{device_id}/push-logs?limit=50`: its messages, the newest first."""

    scope_read = "messages:read"

    @extend_schema(
        parameters=[OpenApiParameter("limit", int, description=f"1 to {MAX_PUSH_LOGS}, 50 if not given.")],
        responses=answers.many(
            "PushLog",
            message_id=answers.text(),
            provider=answers.text(),
            status=answers.text(),
            title=answers.text(),
            body=answers.text(),
            sent_at=answers.moment(),
            received_at=answers.moment(),
            latency_ms=serializers.IntegerField(allow_null=True),
            error_message=answers.text(),
        ),
    )
    def get(self, request: Request, device_id: str) -> Response:
        limit = paging.number(request, "limit", 50, maximum=MAX_PUSH_LOGS)
        device = _seen(caller(request), device_id)
        rows = (
            PushNotificationLog.objects.filter(device__device_id=device.device_id).select_related("job").order_by("-id")
        )
        return Response([_push_log(row) for row in rows[:limit]])


def _push_log(row: PushNotificationLog) -> dict[str, Any]:
    content = row.job.payload if row.job is not None else {}
    return {
        "message_id": str(row.message_id),
        "provider": row.provider,
        "status": row.status,
        "title": content.get("title", ""),
        "body": content.get("body", ""),
        "sent_at": iso(row.sent_at),
        "received_at": iso(row.received_at),
        "latency_ms": row.latency_ms,
        "error_message": row.error_message or row.error_code,
    }


def _seen(who: Caller, device_id: str) -> Device:
    device = reach.devices(who).filter(device_id=device_id).first()
    if device is None:
        raise NotFound("Not found")
    return device


class DeviceKeyView(CallerView):
    """`/api/v1/devices/{device_id}/key`: POST gives the device a new key (the old one is good for 24 h more), DELETE
    makes all its keys worthless at once."""

    rate = "register"
    scope_write = "devices:write"

    @extend_schema(request=None, responses=answers.shape("DeviceKey", device_id=answers.text(), api_key=answers.text()))
    def post(self, request: Request, device_id: str) -> Response:
        who = caller(request)
        device = _managed(who, device_id)
        key = registration.issue_key(device, actor=who.name, now=clocks.db_now())
        return Response({"device_id": device.device_id, "api_key": key})

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, device_id: str) -> Response:
        who = caller(request)
        registration.revoke_keys(_managed(who, device_id), actor=who.name)
        return Response(status=204)


def _managed(who: Caller, device_id: str) -> Device:
    device = reach.managed_devices(who).filter(device_id=device_id).first()
    if device is None:
        raise NotFound("Not found")
    return device
