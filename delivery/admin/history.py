"""What was: who did what, when devices were online, what they reported. Read-only."""

from django.contrib import admin
from django.http import HttpRequest

from delivery.admin.base import ReadOnlyAdmin
from delivery.admin.looks import duration, moment
from delivery.models import AuditLog, Connectivity, TelemetryLog


@admin.register(AuditLog)
class AuditAdmin(ReadOnlyAdmin[AuditLog]):
    list_display = ("when", "actor", "action", "object_type", "object_id")
    search_fields = ("object_id__exact", "actor__exact")
    search_help_text = "Object (device id, site id, ...) or actor (person:name), in full"
    fields = ("when", "actor", "action", "object_type", "object_id", "details")
    readonly_fields = fields

    @admin.display(description="when (UTC)")
    def when(self, entry: AuditLog) -> str:
        return moment(entry.at)


@admin.register(Connectivity)
class ConnectivityAdmin(ReadOnlyAdmin[Connectivity]):
    sees_through = "device__site__technicians"
    list_display = ("device_id_text", "since", "last", "lasted", "still")
    list_select_related = ("device",)
    search_fields = ("device__device_id__exact",)
    search_help_text = "Device id, in full"
    fields = ("device", "since", "last", "lasted", "still")
    readonly_fields = fields

    @admin.display(description="device")
    def device_id_text(self, span: Connectivity) -> str:
        return span.device.device_id

    @admin.display(description="online from (UTC)")
    def since(self, span: Connectivity) -> str:
        return moment(span.online_from)

    @admin.display(description="last seen (UTC)")
    def last(self, span: Connectivity) -> str:
        return moment(span.last_seen)

    @admin.display(description="lasted")
    def lasted(self, span: Connectivity) -> str:
        return duration((span.last_seen - span.online_from).total_seconds() * 1000)

    @admin.display(boolean=True, description="still open")
    def still(self, span: Connectivity) -> bool:
        return span.closed_at is None


@admin.register(TelemetryLog)
class TelemetryAdmin(ReadOnlyAdmin[TelemetryLog]):
    list_display = ("processed", "device_id_text", "type", "message")
    list_select_related = ("device",)
    search_fields = ("device__device_id__exact", "batch_id__exact")
    search_help_text = "Device id or batch id, in full"
    fields = ("processed", "device", "batch_id", "type", "message", "meta", "timestamp")
    readonly_fields = fields

    @admin.display(description="stored (UTC)")
    def processed(self, entry: TelemetryLog) -> str:
        return moment(entry.processed_at)

    @admin.display(description="device")
    def device_id_text(self, entry: TelemetryLog) -> str:
        return entry.device.device_id if entry.device else "not named"

    def has_view_permission(self, request: HttpRequest, obj: TelemetryLog | None = None) -> bool:
        """Entries name no site, so that they are for those who see everything."""
        return bool(getattr(request.user, "is_superuser", False))
