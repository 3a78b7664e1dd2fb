"""Devices, with their channels; their keys are given out here and never shown again."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import DateTimeField, QuerySet, Value
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from delivery import clocks, ranks, registration
from delivery.admin import trial
from delivery.admin.base import RecordAdmin, actor, one
from delivery.admin.channels import ChannelInline
from delivery.admin.looks import NOTHING, masked, moment
from delivery.models import Channel, Device
from delivery.models.device import Lifecycle


@admin.register(Device)
class DeviceAdmin(RecordAdmin[Device]):
    sees_through = "site__technicians"
    change_form_template = "admin/device.html"
    list_display = ("device_id", "online", "name", "site_name", "platform", "lifecycle", "last_heartbeat", "ways")
    list_filter = ("lifecycle",)
    search_fields = ("device_id",)
    search_help_text = "Device id, site id, or how the name begins"
    fieldsets = (
        (None, {"fields": ("device_id", "name", "site", "owner", "segment", "lifecycle", "messages_sent", "told")}),
        ("State", {"fields": ("online", "last_heartbeat", "health", "clock", "key")}),
        ("As the device told it", {"fields": ("platform", "device_type", "declared", "permissions", "dna")}),
    )
    readonly_fields = (
        "device_id", "lifecycle", "messages_sent", "told", "online", "last_heartbeat", "health", "clock", "key",
        "platform", "device_type", "declared", "permissions", "dna",
    )  # fmt: skip
    raw_id_fields = ("site", "owner")
    inlines = (ChannelInline,)
    actions = ("issue_key", "revoke_key", "suspend", "activate", "retire")

    def named(self, of: Device) -> str:
        return of.device_id

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        """Each with the moment at which it was asked for, so that "online" means the same in every row."""
        asked_at = Value(clocks.db_now(), output_field=DateTimeField())
        return super().get_queryset(request).annotate(asked_at=asked_at).prefetch_related("channels")

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(self.test_view)
        return [path("<path:object_id>/test-push/", test, name="delivery_device_test"), *super().get_urls()]

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """POST: send a test push, then back to the device's page, which asks (GET) how far it has come."""
        device = self.get_object(request, object_id)
        if device is None or not self.has_view_permission(request, device):
            raise Http404
        if request.method != "POST":
            return TemplateResponse(
                request, "admin/test_push.html", trial.panel(device, request.GET.get("message", ""))
            )
        if not self.has_change_permission(request, device):
            raise PermissionDenied
        sent = trial.send(device, request)
        page = reverse("admin:delivery_device_change", args=[device.pk])
        if isinstance(sent, UUID):
            return HttpResponseRedirect(f"{page}?test={sent}")
        self.message_user(request, sent, messages.WARNING)
        return HttpResponseRedirect(page)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        device = self.get_object(request, object_id)
        told: dict[str, Any] = {}
        if device is not None:
            told = {
                "test": trial.panel(device, request.GET.get("test", "")),
                "test_url": reverse("admin:delivery_device_test", args=[device.pk]),
                "recent": trial.recent(device),
                "all_url": f"{reverse('admin:delivery_pushnotificationlog_changelist')}?device={device.device_id}",
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **told})

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> tuple[str, ...]:
        """Moving a device moves who may send to it: not for a technician of one of the two sites."""
        fixed = tuple(self.readonly_fields)
        return fixed if getattr(request.user, "is_superuser", False) else (*fixed, "site", "owner")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Device], search_term: str
    ) -> tuple[QuerySet[Device], bool]:
        """A device id, else a site id, else the beginning of a name: one indexed question after the other."""
        term = search_term.strip()
        for exact in ({"device_id": term}, {"site_id": term}):
            if not term or queryset.filter(**exact).exists():
                return queryset.filter(**exact) if term else queryset, False
        return queryset.filter(name__startswith=term), False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """A rank that a person gives is the channel's own; a device that moves follows the pin of its new site."""
        super().save_related(request, form, formsets, change)
        given = [channel.pk for formset in formsets for channel, _changed in formset.changed_objects]
        with transaction.atomic():
            Channel.objects.filter(pk__in=given).update(own_rank=None)
            ranks.settle_device(form.instance)

    # --- what is shown -----------------------------------------------------------------------------------------------
    @admin.display(description="site")
    def site_name(self, device: Device) -> str:
        return str(device.site_id or NOTHING)

    @admin.display(description="seen")
    def online(self, device: Device) -> SafeString:
        state = device.connectivity_state(device.asked_at)  # type: ignore[attr-defined]
        shape = {"online": "●", "offline": "○"}.get(state, NOTHING)
        return format_html('<span class="state {}"><i>{}</i> {}</span>', state, shape, state)

    @admin.display(description="last heartbeat (UTC)")
    def last_heartbeat(self, device: Device) -> str:
        return moment(device.last_heartbeat_at)

    @admin.display(description="channels")
    def ways(self, device: Device) -> str:
        return " › ".join(
            f"{channel.get_provider_display()}{'' if channel.state == 'active' else f' ({channel.state})'}"
            for channel in device.channels.all()
        ) or ("inbox only" if device.has_key else "none")

    @admin.display(description="clock")
    def clock(self, device: Device) -> str:
        if device.clock_offset_ms is None:
            return "not known: the device never told its time"
        return f"{abs(device.clock_offset_ms)} ms {'behind' if device.clock_offset_ms > 0 else 'ahead of'} ours"

    @admin.display(description="key")
    def key(self, device: Device) -> str:
        if not device.has_key:
            return "none: it can be pushed to, but cannot call"
        return f"has one, {'in use' if device.key_used_at else 'not used yet'}"

    @admin.display(description="capabilities")
    def declared(self, device: Device) -> str:
        return str(masked(device.capabilities) or NOTHING)

    @admin.display(description="messages")
    def messages_sent(self, device: Device) -> SafeString:
        url = reverse("admin:delivery_pushnotificationlog_changelist")
        return format_html('<a href="{}?device={}">All messages of this device</a>', url, device.device_id)

    @admin.display(description="commands and reports")
    def told(self, device: Device) -> SafeString:
        lists = (("commands", "devicecommand"), ("reports", "devicereport"), ("its own jobs", "devicejob"))
        return format_html_join(
            " · ",
            '<a href="{}?q={}">{}</a>',
            ((reverse(f"admin:delivery_{name}_changelist"), device.device_id, word) for word, name in lists),
        )

    # --- what a technician does --------------------------------------------------------------------------------------
    @admin.action(permissions=["change"], description="Issue a new key (the old one works 24 h more)")
    def issue_key(self, request: HttpRequest, chosen: QuerySet[Device]) -> HttpResponse | None:
        device = one(chosen)
        if device is None or device.lifecycle == Lifecycle.RETIRED:
            self.message_user(request, "Choose one device that is not retired.", messages.WARNING)
            return None
        key = registration.issue_key(device, actor=actor(request), now=clocks.db_now())
        hint = f"Sent as X-API-Key beside X-Device-ID: {device.device_id}."
        return self.show_key(request, whose=f"Key of {device}", key=key, hint=hint)

    @admin.action(permissions=["change"], description="Revoke the keys (at once, the old one too)")
    def revoke_key(self, request: HttpRequest, chosen: QuerySet[Device]) -> None:
        devices = list(chosen.exclude(key_hash="", previous_key_hash=""))
        with transaction.atomic():
            for device in devices:
                registration.revoke_keys(device, actor=actor(request))
        self.message_user(request, f"{len(devices)} devices have no key any more.", messages.SUCCESS)

    @admin.action(permissions=["change"], description="Suspend (no messages, its calls are refused)")
    def suspend(self, request: HttpRequest, chosen: QuerySet[Device]) -> None:
        self._move(request, chosen, "suspended", [Lifecycle.PENDING, Lifecycle.ACTIVE], Lifecycle.SUSPENDED)

    @admin.action(permissions=["change"], description="Activate (end a suspension)")
    def activate(self, request: HttpRequest, chosen: QuerySet[Device]) -> None:
        self._move(request, chosen, "activated", [Lifecycle.SUSPENDED], Lifecycle.ACTIVE)

    @admin.action(permissions=["change"], description="Retire (for good; its history stays)")
    def retire(self, request: HttpRequest, chosen: QuerySet[Device]) -> None:
        before = [Lifecycle.PENDING, Lifecycle.ACTIVE, Lifecycle.SUSPENDED]
        self._move(request, chosen, "retired", before, Lifecycle.RETIRED)

    def _move(
        self, request: HttpRequest, chosen: QuerySet[Device], action: str, before: list[Lifecycle], after: Lifecycle
    ) -> None:
        moved = 0
        with transaction.atomic():
            for device in chosen:
                if Device.objects.filter(pk=device.pk, lifecycle__in=before).update(lifecycle=after):
                    self.note(request, action, device, was=device.lifecycle)
                    moved += 1
        self.message_user(request, f"{moved} devices {action}.", messages.SUCCESS)
