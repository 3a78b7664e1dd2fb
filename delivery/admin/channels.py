"""Channels: the ways to devices. Addresses are masked everywhere."""

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from delivery.admin.base import RecordAdmin
from delivery.admin.looks import NOTHING, moment
from delivery.models import Channel

FACTS = ("provider", "credential", "masked_address", "state", "registered", "last_used", "disabled")


class Facts:
    """What both the list and a device's page say of a channel."""

    @admin.display(description="address")
    def masked_address(self, channel: Channel) -> str:
        return channel.masked_address

    @admin.display(description="registered (UTC)")
    def registered(self, channel: Channel) -> str:
        return moment(channel.registered_at)

    @admin.display(description="last used (UTC)")
    def last_used(self, channel: Channel) -> str:
        return moment(channel.last_used_at)

    @admin.display(description="disabled")
    def disabled(self, channel: Channel) -> str:
        if channel.disabled_at is None:
            return NOTHING
        return f"by {channel.disabled_by or 'nobody known'}: {channel.disabled_code or 'no code'}"


@admin.register(Channel)
class ChannelAdmin(Facts, RecordAdmin[Channel]):
    sees_through = "device__site__technicians"
    list_display = ("device_name", "provider", "masked_address", "rank", "state", "last_used", "disabled")
    list_filter = ("provider", "state")
    list_select_related = ("device",)
    search_fields = ("device__device_id__exact",)
    search_help_text = "Device id"
    fields = ("device_name", "rank", *FACTS, "environment", "disabled_when")
    readonly_fields = ("device_name", *FACTS, "environment", "disabled_when")
    actions = ("restore",)

    @admin.display(description="device")
    def device_name(self, channel: Channel) -> str:
        return channel.device.device_id

    @admin.display(description="disabled at (UTC)")
    def disabled_when(self, channel: Channel) -> str:
        return moment(channel.disabled_at)

    @admin.action(permissions=["change"], description="Restore (send to these addresses again)")
    def restore(self, request: HttpRequest, chosen: QuerySet[Channel]) -> None:
        restored = 0
        with transaction.atomic():
            for channel in chosen:
                if Channel.objects.filter(pk=channel.pk).restore():
                    self.note(request, "restored", channel, device=channel.device.device_id, was=channel.state)
                    restored += 1
        self.message_user(request, f"{restored} restored; the others were active.", messages.SUCCESS)


class ChannelInline(Facts, admin.TabularInline):  # type: ignore[type-arg]  # no type arguments at run time
    """A device's channels in order of rank. The rank is a technician's to choose, all else is the record."""

    model = Channel
    fields = ("rank", *FACTS)
    readonly_fields = FACTS
    ordering = ("rank", "id")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
