"""Sites: where devices stand, who looks after them, and the key with which new devices come in."""

from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme

from delivery import clocks, pins
from delivery.admin.base import AuditedAdmin, actor, one
from delivery.admin.looks import moment
from delivery.models import Site, SitePin
from delivery.models.keys import key_hash, new_key
from delivery.pins import NotPinned


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
    fields = ("site_id", "name", "timezone", "trading_hours", "technicians", "pinned", "takes_new_devices")
    readonly_fields = ("pinned", "takes_new_devices")
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

    def get_urls(self) -> list[URLPattern]:
        pin = self.admin_site.admin_view(self.pin_view)
        return [path("<path:object_id>/pin/", pin, name="delivery_site_pin"), *super().get_urls()]

    def pin_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Pin the `provider` of the form, `suggested` or not, or `unpin`; then back to `next`, or to the site."""
        site = self.get_object(request, object_id)
        if site is None or request.method != "POST":
            raise Http404
        if not self.has_change_permission(request, site):
            raise PermissionDenied
        text, level = _unpin(site, request) if "unpin" in request.POST else _pin(site, request)
        self.message_user(request, text, level)
        return HttpResponseRedirect(_back(request) or reverse("admin:delivery_site_change", args=[site.pk]))

    @admin.display(description="pinned provider")
    def pinned(self, site: Site) -> str:
        pin = SitePin.objects.filter(site=site).first()
        if pin is None:
            return "none: each device's own ranks count"
        return format_html("{}, by {} at {}", pin.get_provider_display(), pin.pinned_by, moment(pin.pinned_at))

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


def _pin(site: Site, request: HttpRequest) -> tuple[str, int]:
    provider = request.POST.get("provider", "")
    pinned = pins.pin(site, provider, by=actor(request), now=clocks.db_now(), suggested="suggested" in request.POST)
    if isinstance(pinned, NotPinned):
        return f"{pinned.value}. Nothing was changed.", messages.WARNING
    return f"{pinned.get_provider_display()} comes first at {site} now.", messages.SUCCESS


def _unpin(site: Site, request: HttpRequest) -> tuple[str, int]:
    if pins.unpin(site, by=actor(request)):
        return f"At {site} each device's own ranks count again.", messages.SUCCESS
    return "Nothing was pinned.", messages.WARNING


def _back(request: HttpRequest) -> str:
    """A path of our own, and nothing else."""
    wanted = request.POST.get("next", "")
    return wanted if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) else ""
