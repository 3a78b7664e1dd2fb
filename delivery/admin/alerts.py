"""Alerts, the open ones first: what is, where, since when, what it comes from, its messages, and who looks after it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from delivery import clocks
from delivery.admin.base import RecordAdmin, actor
from delivery.admin.looks import NOTHING, moment
from delivery.admin.paging import NewestFirst
from delivery.models import Alert
from delivery.models.alert import AlertQuerySet

MUTES = {"mute_hour": timedelta(hours=1), "mute_day": timedelta(days=1), "mute_week": timedelta(days=7)}
BEFORE_IT_OPENED = timedelta(hours=2)
"""What an alert is judged by began so long before at most."""


class OpenFirst(NewestFirst):
    """Standing alerts, then those that are over; the newest of each first."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return [ExpressionWrapper(Q(closed_at=None), BooleanField()).desc(), "-pk"]

    def behind(self, last: int) -> QuerySet[Any]:
        later = Q(closed_at__isnull=False, pk__lt=last)
        if self.root_queryset.filter(pk=last, closed_at=None).exists():
            later = Q(closed_at__isnull=False) | Q(pk__lt=last)
        rows: QuerySet[Any] = self.queryset.filter(later)
        return rows


class State(admin.SimpleListFilter):
    title = "state"
    parameter_name = "is"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("untaken", "open, and nobody's"), ("closed", "closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {
            "open": Q(closed_at=None),
            "untaken": Q(closed_at=None, taken_by=""),
            "closed": Q(closed_at__isnull=False),
        }
        return queryset.filter(wanted.get(self.value() or "", Q()))


@admin.register(Alert)
class AlertAdmin(RecordAdmin[Alert]):
    list_display = ("kind", "where", "text", "opened", "closed", "taken", "muted", "told", "leads")
    list_display_links = ("kind",)
    list_filter = (State,)
    list_select_related = ("site",)
    search_fields = ("subject__exact", "kind__exact", "site__site_id__exact")
    search_help_text = "Subject, kind or site id, in full"
    fields = (
        "kind", "where", "text", "cause", "leads", "opened", "last_seen", "times", "better", "closed", "taken", "muted",
        "told_to",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("take", *MUTES, "unmute")

    def named(self, of: Alert) -> str:
        return f"{of.kind} {of.subject}"[:100]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return OpenFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        """A technician's sites, and what concerns all of them."""
        alerts = super().get_queryset(request).prefetch_related("notices")
        if getattr(request.user, "is_superuser", False):
            return alerts
        return alerts.filter(Q(site=None) | Q(site__technicians=request.user.pk))

    def has_change_permission(self, request: HttpRequest, obj: Alert | None = None) -> bool:
        """People act on alerts in the list; an alert itself is the record."""
        return obj is None and super().has_change_permission(request)

    # --- what is shown -----------------------------------------------------------------------------------------------
    @admin.display(description="where")
    def where(self, alert: Alert) -> str:
        return alert.subject

    @admin.display(description="look at")
    def leads(self, alert: Alert) -> SafeString:
        return format_html_join(" · ", '<a href="{}">{}</a>', ((path, label) for label, path in links(alert)))

    @admin.display(description="opened (UTC)")
    def opened(self, alert: Alert) -> str:
        return moment(alert.opened_at)

    @admin.display(description="last seen (UTC)")
    def last_seen(self, alert: Alert) -> str:
        return moment(alert.last_seen_at)

    @admin.display(description="better since (UTC)")
    def better(self, alert: Alert) -> str:
        return moment(alert.better_since)

    @admin.display(description="closed (UTC)")
    def closed(self, alert: Alert) -> str:
        return moment(alert.closed_at)

    @admin.display(description="taken by")
    def taken(self, alert: Alert) -> str:
        return alert.taken_by or NOTHING

    @admin.display(description="muted until (UTC)")
    def muted(self, alert: Alert) -> str:
        return moment(alert.muted_until)

    @admin.display(description="told")
    def told(self, alert: Alert) -> str:
        """How many of those who are to be told were."""
        notices = list(alert.notices.all())
        done = sum(notice.told_at is not None for notice in notices)
        return f"{done} of {len(notices)}" if notices else NOTHING

    @admin.display(description="told")
    def told_to(self, alert: Alert) -> SafeString | str:
        rows = (
            (notice.destination, notice.event, moment(notice.told_at), _trouble(notice.tries, notice.error))
            for notice in alert.notices.all()
        )
        return (
            format_html_join("\n", "<div>{} {}: {} {}</div>", rows) or "nobody is to be told: ALERT_EMAILS, ALERT_URLS"
        )

    # --- what a person does ------------------------------------------------------------------------------------------
    @admin.action(permissions=["change"], description="Take (you look after them)")
    def take(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        now, person = clocks.db_now(), actor(request)
        taken = self._each(request, chosen, "took an alert", lambda one: one.take(person, now))
        self.message_user(request, f"{taken} are yours; the others are closed, or somebody's.", messages.SUCCESS)

    @admin.action(permissions=["change"], description="Mute for an hour (tell nobody)")
    def mute_hour(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        self._mute(request, chosen, MUTES["mute_hour"])

    @admin.action(permissions=["change"], description="Mute for a day")
    def mute_day(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        self._mute(request, chosen, MUTES["mute_day"])

    @admin.action(permissions=["change"], description="Mute for a week")
    def mute_week(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        self._mute(request, chosen, MUTES["mute_week"])

    @admin.action(permissions=["change"], description="Unmute")
    def unmute(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        unmuted = self._each(request, chosen, "unmuted an alert", lambda one: one.unmute())
        self.message_user(request, f"{unmuted} are not muted any more.", messages.SUCCESS)

    def _mute(self, request: HttpRequest, chosen: QuerySet[Alert], length: timedelta) -> None:
        until, person = clocks.db_now() + length, actor(request)
        muted = self._each(request, chosen, "muted an alert", lambda one: one.mute(until, person), until=until)
        text = f"{muted} are muted until {until:%Y-%m-%d %H:%M} UTC, and so is what comes of the same kind and subject."
        self.message_user(request, text, messages.SUCCESS)

    def _each(
        self,
        request: HttpRequest,
        chosen: QuerySet[Alert],
        action: str,
        change: Callable[[AlertQuerySet], int],
        until: datetime | None = None,
    ) -> int:
        """Change them one by one, each change in the audit log; how many changed."""
        changed = 0
        with transaction.atomic():
            for alert in chosen:
                if change(Alert.objects.filter(pk=alert.pk)):
                    self.note(request, action, alert, **({"until": until.isoformat()} if until else {}))
                    changed += 1
        return changed


def _trouble(tries: int, error: str) -> str:
    return f"({tries} tries; {error})" if error else ""


# --- Where an alert leads
def links(alert: Alert) -> list[tuple[str, str]]:
    """What to look at, each with its label and its path: the messages that it is about first."""
    since = f"{alert.opened_at - BEFORE_IT_OPENED:%Y-%m-%dT%H:%MZ}"
    provider = alert.provider
    about = {**({"site": alert.site_id} if alert.site_id else {}), **({"under": provider} if provider else {})}
    match alert.kind:
        case "site_failures" | "provider_errors" | "breaker_open" | "misconfigured" | "payload_rejected":
            found = [("messages", _messages(**about, state="missed", **{"from": since}))]
        case "slow_provider":
            found = [("messages", _messages(**about, state="measured", **{"from": since}))]
        case "fallback":
            found = [("messages", _messages(state="fallback", **{"from": since}))]
        case "zombies":
            found = [
                ("zombies", _list("analytics/zombie", standing="1", **_site(alert))),
                ("messages", _messages(**about)),
            ]
        case "registration_failures" | "guard_tripped":
            found = [("channels", _list("delivery/channel", **({"provider__exact": provider} if provider else {})))]
        case _:
            found = []
    if provider and not alert.site_id:
        found.append(("provider", _list("delivery/providerstate")))
    return found


def _site(alert: Alert) -> dict[str, str]:
    return {"site__exact": alert.site_id} if alert.site_id else {}


def _messages(**query: str) -> str:
    return _list("delivery/pushnotificationlog", **query)


def _list(page: str, **query: str) -> str:
    return f"{reverse('admin:index')}{page}/" + (f"?{urlencode(query)}" if query else "")
