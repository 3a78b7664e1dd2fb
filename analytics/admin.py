"""The zombie list: who confirms nothing though it is online, how far its healing has come, and its messages."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics import zombies
from analytics.models import Closed, Zombie
from delivery import clocks
from delivery.admin.base import ReadOnlyAdmin, actor
from delivery.admin.looks import NOTHING, moment


class Standing(admin.SimpleListFilter):
    title = "state"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "still"), ("0", "not any more")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("0", "1"):
            return queryset
        chosen: QuerySet[Any] = queryset.filter(closed_at__isnull=self.value() == "1")
        return chosen


@admin.register(Zombie)
class ZombieAdmin(ReadOnlyAdmin[Zombie]):
    sees_through = "site__technicians"
    list_display = ("device_page", "site_name", "provider", "pushes", "since", "found", "healing", "ended")
    list_display_links = ("pushes",)
    list_filter = (Standing, "provider", "rung")
    list_select_related = ("device", "site")
    search_fields = ("device__device_id__exact",)
    search_help_text = "Device id, in full"
    fields = (
        "device_page", "site_name", "provider", "channel_page", "pushes", "unconfirmed", "since", "found", "healing",
        "reached", "due", "probe_code", "asked", "ended",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("close",)

    def named(self, of: Zombie) -> str:
        return of.device_id

    def has_change_permission(self, request: HttpRequest, obj: Zombie | None = None) -> bool:
        """People close zombies in the list; a zombie itself is the record."""
        return obj is None and bool(request.user.has_perm("analytics.change_zombie"))

    @admin.action(permissions=["change"], description="Close (its channel gets its rank back)")
    def close(self, request: HttpRequest, chosen: QuerySet[Zombie]) -> None:
        now = clocks.db_now()
        closed = sum(zombies.close(each, Closed.BY_PERSON, by=actor(request), now=now) for each in chosen)
        self.message_user(request, f"{closed} closed; the others were closed before.", messages.SUCCESS)

    @admin.display(description="device")
    def device_page(self, zombie: Zombie) -> SafeString:
        url = reverse("admin:delivery_device_change", args=[zombie.device.pk])
        return format_html('<a href="{}">{}</a>', url, zombie.device)

    @admin.display(description="site")
    def site_name(self, zombie: Zombie) -> SafeString | str:
        if zombie.site is None:
            return NOTHING
        return format_html('<a href="{}">{}</a>', reverse("site_page", args=[zombie.site.site_id]), zombie.site)

    @admin.display(description="channel")
    def channel_page(self, zombie: Zombie) -> SafeString:
        url = reverse("admin:delivery_channel_change", args=[zombie.channel_id])
        return format_html('<a href="{}">{}</a>', url, zombie.channel)

    @admin.display(description="its messages")
    def unconfirmed(self, zombie: Zombie) -> SafeString:
        query = {
            "device": zombie.device_id,
            "under": zombie.provider,
            "from": f"{zombie.first_push_at:%Y-%m-%dT%H:%M:%SZ}",
        }
        url = f"{reverse('admin:delivery_pushnotificationlog_changelist')}?{urlencode(query)}"
        return format_html('<a href="{}">Its messages on this provider since then</a>', url)

    @admin.display(description="unconfirmed since (UTC)")
    def since(self, zombie: Zombie) -> str:
        return moment(zombie.first_push_at)

    @admin.display(description="found (UTC)")
    def found(self, zombie: Zombie) -> str:
        return moment(zombie.found_at)

    @admin.display(description="healing")
    def healing(self, zombie: Zombie) -> str:
        return zombie.get_rung_display()

    @admin.display(description="since (UTC)")
    def reached(self, zombie: Zombie) -> str:
        return moment(zombie.rung_at)

    @admin.display(description="next step due (UTC)")
    def due(self, zombie: Zombie) -> str:
        return moment(zombie.next_at)

    @admin.display(description="asked to register again (UTC)")
    def asked(self, zombie: Zombie) -> str:
        return moment(zombie.asked_at)

    @admin.display(description="ended")
    def ended(self, zombie: Zombie) -> SafeString | str:
        if zombie.closed_at is None:
            return NOTHING
        return format_html("{}: {}", moment(zombie.closed_at), zombie.get_closed_why_display())
