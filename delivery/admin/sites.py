"""Sites: where devices stand, who looks after them, and the key with which new devices come in."""

from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from delivery.admin.base import AuditedAdmin, one
from delivery.models import Site
from delivery.models.keys import key_hash, new_key


class SiteForm(forms.ModelForm):  # type: ignore[type-arg]  # no type arguments at run time
    def clean_timezone(self) -> str:
        name: str = self.cleaned_data["timezone"]
        if name not in available_timezones():
            raise forms.ValidationError("This is no IANA time zone. Write one such as Europe/Berlin.")
        return name


@admin.register(Site)
class SiteAdmin(AuditedAdmin[Site]):
    form = SiteForm
    list_display = ("site_id", "name", "timezone", "takes_new_devices")
    search_fields = ("site_id__exact", "name__istartswith")
    search_help_text = "Site id, or how its name begins"
    filter_horizontal = ("technicians",)
    fields = ("site_id", "name", "timezone", "trading_hours", "technicians", "takes_new_devices")
    readonly_fields = ("takes_new_devices",)
    actions = ("issue_bootstrap_key",)
    list_per_page = 50

    def named(self, of: Site) -> str:
        return of.site_id

    def get_queryset(self, request: HttpRequest) -> QuerySet[Site]:
        sites = super().get_queryset(request)
        return sites if getattr(request.user, "is_superuser", False) else sites.filter(technicians=request.user.pk)

    def get_readonly_fields(self, request: HttpRequest, obj: Site | None = None) -> tuple[str, ...]:
        """Devices and messages name their site by its id: it stays. Who looks after it is not for themselves to say."""
        fixed = ("site_id", *self.readonly_fields) if obj else tuple(self.readonly_fields)
        return fixed if getattr(request.user, "is_superuser", False) else (*fixed, "technicians")

    def has_delete_permission(self, request: HttpRequest, obj: Site | None = None) -> bool:
        return False

    @admin.display(boolean=True, description="has a bootstrap key")
    def takes_new_devices(self, site: Site) -> bool:
        return bool(site.bootstrap_key_hash)

    @admin.action(permissions=["change"], description="Issue a new bootstrap key (the old one ends at once)")
    def issue_bootstrap_key(self, request: HttpRequest, chosen: QuerySet[Site]) -> HttpResponse | None:
        site = one(chosen)
        if site is None:
            self.message_user(request, "Choose one site: each has a key of its own.", messages.WARNING)
            return None
        key = new_key("hpb")
        with transaction.atomic():
            Site.objects.filter(pk=site.pk).update(bootstrap_key_hash=key_hash(key))
            self.note(request, "issued bootstrap key", site)
        hint = "New devices of this site come in with it. Whoever has it can add devices here."
        return self.show_key(request, whose=f"Bootstrap key of {site}", key=key, hint=hint)
