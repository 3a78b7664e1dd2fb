"""What a page is asked for: which hours, which provider, which figure. All of it stands in the address."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from analytics import health
from analytics.counting import HOUR
from analytics.models import HourlyRollup
from analytics.rollups import hour_of, hours_between
from delivery import clocks
from delivery.admin.chosen import UNDER, moment_of
from delivery.models import Device, Site

SHOWN = {"p95": "p95 latency", "rate": "delivery rate", "volume": "volume"}
SPANS = {24: "24 h", 72: "3 days", 168: "7 days"}
"""Hours that the switch offers; any number up to LONGEST_H may be asked for."""
LONGEST_H = 31 * 24
PROVIDERS = dict(UNDER)


class BadFilter(ValueError):
    """A filter in the address is wrong; says which, and what it may be."""

    def __init__(self, name: str, given: str, text: str) -> None:
        super().__init__(f"{name}={given[:80]}: {text}")


@dataclass(frozen=True)
class Asked:
    """Filters as they were understood, and who asks: a person sees the numbers of their sites."""

    person: User
    now: datetime
    hours: int = 24
    until: datetime | None = None
    """The last hour ends here; None: with the present one."""
    provider: str | None = None
    show: str = "p95"
    page: int = 1
    site: Site | None = field(default=None)
    """Of a site's page."""

    @property
    def end(self) -> datetime:
        return self.until or hour_of(self.now) + HOUR

    @property
    def first(self) -> datetime:
        return self.end - self.hours * HOUR

    @property
    def hours_shown(self) -> list[datetime]:
        return list(hours_between(self.first, self.end - HOUR))

    @property
    def span(self) -> str:
        """In words."""
        if self.until is None:
            return f"the last {self.hours} h" if self.hours < 48 else f"the last {self.hours // 24} days"
        return f"{self.hours} h until {self.until:%Y-%m-%d %H:%M} UTC"

    @property
    def everywhere(self) -> bool:
        return self.person.is_superuser

    @property
    def sites(self) -> QuerySet[Site]:
        """The sites in reach."""
        return Site.objects.all() if self.everywhere else Site.objects.filter(technicians=self.person)

    @property
    def devices(self) -> QuerySet[Device]:
        """The devices in reach, or of the site."""
        if self.site is not None:
            return Device.objects.filter(site=self.site)
        return Device.objects.all() if self.everywhere else Device.objects.filter(site_id__in=self.site_ids)

    @cached_property
    def site_ids(self) -> list[str]:
        return list(self.sites.values_list("site_id", flat=True))

    @property
    def rollups(self) -> QuerySet[HourlyRollup]:
        """Messages without a site are for those who reach all."""
        found = self.ever & health.between(self.first, self.end)
        return found if self.provider is None else found.filter(provider=self.provider)

    @property
    def ever(self) -> QuerySet[HourlyRollup]:
        """Those in reach, of all times."""
        found = HourlyRollup.objects.all()
        if self.site is not None:
            return found.filter(site=self.site)
        return found if self.everywhere else found.filter(site_id__in=self.site_ids)

    @cached_property
    def as_of(self) -> datetime | None:
        return health.as_of(self.first, self.end)

    def address(self, **other: Any) -> str:
        """The query string that asks for this, with some filters changed. Defaults are left out."""
        changed = replace(self, **other)
        asked: dict[str, Any] = {
            "hours": changed.hours if changed.hours != Asked.hours else None,
            "until": f"{changed.until:%Y-%m-%dT%H:%MZ}" if changed.until else None,
            "provider": changed.provider,
            "show": changed.show if changed.show != Asked.show else None,
            "page": changed.page if changed.page != Asked.page else None,
        }
        return "?" + urlencode({name: value for name, value in asked.items() if value is not None})


def understand(request: HttpRequest, *, site: Site | None = None, provider: str | None = None) -> Asked:
    """`BadFilter` for a value that none of the pages knows."""
    person = request.user
    assert isinstance(person, User), "the page lets nobody in unknown"
    given = request.GET
    return Asked(
        person=person,
        now=clocks.db_now(),
        hours=_number(given.get("hours"), "hours", Asked.hours, LONGEST_H),
        until=_until(given.get("until")),
        provider=provider or _one_of(given.get("provider") or None, "provider", PROVIDERS),
        show=_one_of(given.get("show"), "show", SHOWN) or Asked.show,
        page=_number(given.get("page"), "page", 1, 10_000),
        site=site,
    )


def _number(given: str | None, name: str, default: int, most: int) -> int:
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal() and len(given) < 7 and 1 <= int(given) <= most):
        raise BadFilter(name, given, f"a whole number from 1 to {most}")
    return int(given)


def _one_of(given: str | None, name: str, known: dict[str, str]) -> str | None:
    if given is not None and given not in known:
        raise BadFilter(name, given, f"one of {', '.join(known)}")
    return given


def _until(given: str | None) -> datetime | None:
    if given is None:
        return None
    at = moment_of(given)
    if at is None:
        raise BadFilter("until", given, "a moment such as 2026-11-21T14:00Z")
    hour = hour_of(at)
    return hour if hour == at else hour + timedelta(hours=1)
