"""Messages, read-only: the list, and the timeline of one."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery.admin import timeline
from delivery.admin.base import ReadOnlyAdmin
from delivery.admin.chosen import CountedUnder, HowItWent, NewestOrders, OrderedIn, Refused, chosen
from delivery.admin.looks import NOTHING, badge, duration, local, moment, word_of, zone_of
from delivery.models import Job, PushNotificationLog


@admin.register(PushNotificationLog)
class MessageAdmin(ReadOnlyAdmin[PushNotificationLog]):
    sees_through = "site__technicians"
    change_form_template = "admin/message.html"
    list_display = ("message", "state", "device_id", "site_name", "provider", "ordered", "latency", "code_only", "why")
    list_filter = (HowItWent, "verdict", CountedUnder, OrderedIn, "provider", "priority", Refused)
    search_fields = ("message_id",)
    search_help_text = "Message id, job id or device id, in full"
    fields = ("message_id", "state", "device_page", "job_page", "site_name", "provider", "channel", "expires", "code")
    readonly_fields = fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestOrders]:
        return NewestOrders

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"chosen": chosen(request), **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PushNotificationLog], search_term: str
    ) -> tuple[QuerySet[PushNotificationLog], bool]:
        """Exact, and each by its own index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(message_id=_as_uuid(term)) if _as_uuid(term) else Q(device_id=term)
        if Job.objects.filter(job_id=term).exists():
            wanted = Q(job_id=term)
        return queryset.filter(wanted), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        push = self.get_object(request, object_id)
        told = {}
        if push is not None:
            zone = zone_of(push.site)
            told = {
                "lines": timeline.lines(push),
                "ending": timeline.ending(push),
                "why": timeline.why(push),
                "badge": badge(word_of(push)),
                "zone": str(zone or ""),
                "deadline": f"{local(push.expires_at, zone)}" if zone else "",
                "title": f"Message to {push.device_id}",
            }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **told})

    # --- what is shown -----------------------------------------------------------------------------------------------
    @admin.display(description="message")
    def message(self, push: PushNotificationLog) -> SafeString:
        text = str(push.message_id)
        return format_html('<span class="id" title="{}">{}…{}</span>', text, text[:8], text[-12:])

    @admin.display(description="state")
    def state(self, push: PushNotificationLog) -> SafeString:
        return badge(word_of(push))

    @admin.display(description="site")
    def site_name(self, push: PushNotificationLog) -> str:
        return str(push.site_id or NOTHING)

    @admin.display(description="ordered (UTC)")
    def ordered(self, push: PushNotificationLog) -> str:
        return moment(push.created_at)

    @admin.display(description="latency")
    def latency(self, push: PushNotificationLog) -> str:
        return "clock off" if push.clock_skewed else duration(push.latency_ms)

    @admin.display(description="code")
    def code_only(self, push: PushNotificationLog) -> str:
        return push.error_code or NOTHING

    @admin.display(description="why not in time")
    def why(self, push: PushNotificationLog) -> SafeString | str:
        if not push.verdict:
            return NOTHING
        return format_html('<span title="{}">{}</span>', push.evidence, push.get_verdict_display())

    @admin.display(description="code")
    def code(self, push: PushNotificationLog) -> str:
        return ": ".join(part for part in (push.error_code, push.error_message) if part) or NOTHING

    @admin.display(description="expires (UTC)")
    def expires(self, push: PushNotificationLog) -> str:
        return "its time stands still: the job is paused" if push.paused else moment(push.expires_at)

    @admin.display(description="device")
    def device_page(self, push: PushNotificationLog) -> SafeString:
        url = reverse("admin:delivery_device_change", args=[push.device.pk])
        return format_html('<a href="{}">{}</a>', url, push.device_id)

    @admin.display(description="job")
    def job_page(self, push: PushNotificationLog) -> SafeString | str:
        if push.job is None:
            return NOTHING
        url = reverse("admin:delivery_job_change", args=[push.job.pk])
        return format_html('<a href="{}">{}</a>', url, push.job)


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
