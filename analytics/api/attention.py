"""What somebody should look at: alerts, and zombies."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import asking, shapes, tables
from analytics.models import Rung, Zombie
from delivery.api import answers, paging, reach
from delivery.api.answers import shape
from delivery.api.callers import caller
from delivery.api.errors import Unprocessable
from delivery.api.fields import iso
from delivery.models import Alert

STATES = {"open": Q(closed_at=None), "closed": Q(closed_at__isnull=False), "all": Q()}
STATE = OpenApiParameter("state", str, enum=list(STATES), description="`open` if not given.")
ALERT_COLUMNS = (
    "id", "kind", "subject", "site", "provider", "text", "cause", "times", "opened_at", "last_seen_at", "closed_at",
    "taken_by", "muted_until",
)  # fmt: skip
ZOMBIE_COLUMNS = (
    "id", "device_id", "site", "provider", "pushes", "first_push_at", "found_at", "last_seen", "rung", "rung_at",
    "next_at", "probe_code", "closed_at", "closed_why",
)  # fmt: skip


class AlertsView(asking.NumbersView):
    """`GET /api/v1/analytics/alerts`: what stands open, a page at a time; `?state=` of what is over, too.

    Of the caller's sites, and what concerns all of them.
    """

    @extend_schema(
        parameters=[asking.SITE, asking.PROVIDER, STATE, *paging.PARAMETERS, asking.FORMAT],
        responses=shape(
            "Alerts",
            alerts=answers.many(
                "Alert",
                id=answers.count(),
                kind=answers.text(),
                subject=serializers.CharField(help_text="What it is about: a site, a provider, a credential, a sweep."),
                site=shapes.maybe(),
                provider=shapes.maybe(),
                text=answers.text(),
                cause=serializers.CharField(help_text="What it most likely comes from; may be empty."),
                times=answers.count(),
                opened_at=answers.moment(),
                last_seen_at=answers.moment(),
                closed_at=answers.moment(),
                taken_by=shapes.maybe(),
                muted_until=answers.moment(),
            ),
            next=answers.link(),
        ),
    )
    def get(self, request: Request) -> Any:
        alerts = _alerts(request)
        if asking.wants_csv(request):
            return tables.download(request, "alerts", ALERT_COLUMNS, _lines(map(_alert, alerts.order_by("pk"))))
        shown, following = paging.page(request, alerts)
        return Response({"alerts": [_alert(alert) for alert in shown], "next": following})


class ZombiesView(asking.NumbersView):
    """`GET /api/v1/analytics/zombies`: devices that are online and confirm nothing of what a provider accepted, by
    channel, a page at a time; `?state=` of those that are none any more, too."""

    @extend_schema(
        parameters=[asking.SITE, asking.PROVIDER, STATE, *paging.PARAMETERS, asking.FORMAT],
        responses=shape(
            "Zombies",
            zombies=answers.many(
                "Zombie",
                id=answers.count(),
                device_id=answers.text(),
                site=shapes.maybe(),
                provider=answers.text(),
                pushes=serializers.IntegerField(help_text="Accepted while it was online, and not confirmed."),
                first_push_at=answers.moment(),
                found_at=answers.moment(),
                last_seen=answers.moment(),
                rung=serializers.ChoiceField(Rung.choices, help_text="How far its healing has come."),
                rung_at=answers.moment(),
                next_at=answers.moment(),
                probe_code=serializers.CharField(help_text="What the provider said about the address."),
                closed_at=answers.moment(),
                closed_why=answers.text(),
            ),
            next=answers.link(),
        ),
    )
    def get(self, request: Request) -> Any:
        zombies = _zombies(request)
        if asking.wants_csv(request):
            return tables.download(request, "zombies", ZOMBIE_COLUMNS, _lines(map(_zombie, zombies.order_by("pk"))))
        shown, following = paging.page(request, zombies)
        return Response({"zombies": [_zombie(zombie) for zombie in shown], "next": following})


def _alerts(request: Request) -> QuerySet[Alert]:
    found = Alert.objects.filter(_state(request))
    asked = asking.asked(request)
    if asked["provider"] is not None:
        found = found.filter(provider=asked["provider"])
    if asked["site"] is not None:
        return found.filter(site_id=asked["site"])
    if reach.reaches_all(caller(request)):
        return found
    mine = reach.sites(caller(request)).values("site_id")
    return found.filter(Q(site__in=mine) | Q(site=None)) if mine.exists() else found.none()


def _zombies(request: Request) -> QuerySet[Zombie]:
    found = Zombie.objects.filter(_state(request), device__in=asking.devices(request).values("device_id"))
    provider = asking.asked(request)["provider"]
    return found if provider is None else found.filter(provider=provider)


def _state(request: Request) -> Q:
    given = request.query_params.get("state", "open")
    if given not in STATES:
        raise Unprocessable({"state": [f"One of {', '.join(STATES)}"]})
    return STATES[given]


def _lines(rows: Iterator[dict[str, Any]]) -> Iterator[list[Any]]:
    return (list(row.values()) for row in rows)


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "subject": alert.subject,
        "site": alert.site_id,
        "provider": alert.provider or None,
        "text": alert.text,
        "cause": alert.cause,
        "times": alert.times,
        "opened_at": iso(alert.opened_at),
        "last_seen_at": iso(alert.last_seen_at),
        "closed_at": iso(alert.closed_at),
        "taken_by": alert.taken_by or None,
        "muted_until": iso(alert.muted_until),
    }


def _zombie(zombie: Zombie) -> dict[str, Any]:
    return {
        "id": zombie.pk,
        "device_id": zombie.device_id,
        "site": zombie.site_id,
        "provider": zombie.provider,
        "pushes": zombie.pushes,
        "first_push_at": iso(zombie.first_push_at),
        "found_at": iso(zombie.found_at),
        "last_seen": iso(zombie.last_seen),
        "rung": zombie.rung,
        "rung_at": iso(zombie.rung_at),
        "next_at": iso(zombie.next_at),
        "probe_code": zombie.probe_code,
        "closed_at": iso(zombie.closed_at),
        "closed_why": zombie.closed_why,
    }
