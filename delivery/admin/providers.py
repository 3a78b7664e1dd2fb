"""Whether each credential may send now. The rate is an operator's to set, all else is the pipeline's."""

from django.contrib import admin
from django.http import HttpRequest

from delivery.admin.base import RecordAdmin
from delivery.admin.looks import moment
from delivery.models import ProviderState


@admin.register(ProviderState)
class ProviderStateAdmin(RecordAdmin[ProviderState]):
    list_display = ("provider", "credential", "state", "waits_until", "why", "rate", "changed")
    list_filter = ("state",)
    fields = ("provider", "credential", "state", "waits_until", "why", "rate_per_s", "changed")
    readonly_fields = ("provider", "credential", "state", "waits_until", "why", "changed")

    @admin.display(description="Rate per s", ordering="rate_per_s")
    def rate(self, of: ProviderState) -> str:
        return "no limit" if of.rate_per_s is None else f"{of.rate_per_s:.1f}"

    def named(self, of: ProviderState) -> str:
        return f"{of.provider}/{of.credential}"

    def has_change_permission(self, request: HttpRequest, obj: ProviderState | None = None) -> bool:
        """It holds for all sites."""
        return bool(getattr(request.user, "is_superuser", False))

    @admin.display(description="waits until (UTC)")
    def waits_until(self, state: ProviderState) -> str:
        return moment(state.until)

    @admin.display(description="changed (UTC)")
    def changed(self, state: ProviderState) -> str:
        return moment(state.changed_at)
