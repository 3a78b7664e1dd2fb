"""What devices were told to do, and what they report about themselves. Read-only: commands are queued over the API."""

import json

from django.contrib import admin

from delivery.admin.base import ReadOnlyAdmin
from delivery.admin.looks import NOTHING, moment
from delivery.models import DeviceCommand, DeviceJob, DeviceReport


@admin.register(DeviceCommand)
class DeviceCommandAdmin(ReadOnlyAdmin[DeviceCommand]):
    sees_through = "device__site__technicians"
    list_display = ("command_id", "device_id", "command_type", "status", "queued", "taken", "ended", "queued_by")
    list_filter = ("status", "command_type")
    search_fields = ("device_id__exact", "command_id__exact")
    search_help_text = "Device id or command id, in full"
    fields = (
        "command_id", "device", "command_type", "payload_text", "status", "queued_by", "queued", "until", "taken",
        "executed", "ended", "result_text", "wake_up",
    )  # fmt: skip
    readonly_fields = fields

    def named(self, of: DeviceCommand) -> str:
        return of.command_id

    @admin.display(description="queued (UTC)")
    def queued(self, command: DeviceCommand) -> str:
        return moment(command.created_at)

    @admin.display(description="waits until (UTC)")
    def until(self, command: DeviceCommand) -> str:
        return moment(command.expires_at)

    @admin.display(description="taken by the device (UTC)")
    def taken(self, command: DeviceCommand) -> str:
        return moment(command.sent_at)

    @admin.display(description="executed, by the device's clock (UTC)")
    def executed(self, command: DeviceCommand) -> str:
        return moment(command.executed_at)

    @admin.display(description="ended (UTC)")
    def ended(self, command: DeviceCommand) -> str:
        return moment(command.finished_at or command.expired_at)

    @admin.display(description="payload")
    def payload_text(self, command: DeviceCommand) -> str:
        return _text(command.payload)

    @admin.display(description="result")
    def result_text(self, command: DeviceCommand) -> str:
        return _text(command.result)


@admin.register(DeviceReport)
class DeviceReportAdmin(ReadOnlyAdmin[DeviceReport]):
    sees_through = "device__site__technicians"
    list_display = ("stored", "device_id_text", "kind", "level", "category", "text")
    list_filter = ("kind",)
    list_select_related = ("device",)
    search_fields = ("device__device_id__exact",)
    search_help_text = "Device id, in full"
    fields = ("stored", "told", "device", "kind", "level", "category", "text", "details_text")
    readonly_fields = fields

    @admin.display(description="stored (UTC)")
    def stored(self, report: DeviceReport) -> str:
        return moment(report.stored_at)

    @admin.display(description="by the device's clock (UTC)")
    def told(self, report: DeviceReport) -> str:
        return moment(report.timestamp)

    @admin.display(description="device")
    def device_id_text(self, report: DeviceReport) -> str:
        return report.device.device_id

    @admin.display(description="details")
    def details_text(self, report: DeviceReport) -> str:
        return _text(report.details)


@admin.register(DeviceJob)
class DeviceJobAdmin(ReadOnlyAdmin[DeviceJob]):
    sees_through = "device__site__technicians"
    list_display = ("job_id", "device_id_text", "action", "status", "begun", "ended")
    list_filter = ("status",)
    list_select_related = ("device",)
    search_fields = ("device__device_id__exact", "job_id__exact")
    search_help_text = "Device id or the job's id, in full"
    fields = ("job_id", "device", "action", "description", "status", "begun", "ended", "result_text", "error_message")
    readonly_fields = fields

    @admin.display(description="device")
    def device_id_text(self, own: DeviceJob) -> str:
        return own.device.device_id

    @admin.display(description="begun (UTC)")
    def begun(self, own: DeviceJob) -> str:
        return moment(own.created_at)

    @admin.display(description="ended (UTC)")
    def ended(self, own: DeviceJob) -> str:
        return moment(own.finished_at)

    @admin.display(description="result")
    def result_text(self, own: DeviceJob) -> str:
        return _text(own.result)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) if value else NOTHING
