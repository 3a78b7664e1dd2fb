"""What a caller asks for: which hours, which site, which provider. Bad input is a 422 that names the field."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request

from analytics import health
from analytics.counting import HOUR
from analytics.health import Numbers
from analytics.models import HourlyRollup
from analytics.rollups import hour_of
from delivery import clocks
from delivery.api import paging, reach
from delivery.api.base import CallerView
from delivery.api.callers import caller
from delivery.api.errors import Unprocessable
from delivery.api.fields import Moment
from delivery.models import Channel, Device, Site
from delivery.models.channel import PROVIDER_CHOICES
from delivery.models.push_log import INBOX
from delivery.providers import canonical_name, known_names

LONGEST = timedelta(days=366)
PROVIDERS = (*dict(PROVIDER_CHOICES), INBOX)
LOST_PLUS = re.compile(r"(T[\d:.]+) (\d\d:?\d\d)\Z")
"""A plus sign that stands in an address as it is arrives as a space."""

SITE = OpenApiParameter("site", str, description="One site's numbers; all in the caller's reach if not given.")
PROVIDER = OpenApiParameter("provider", str, enum=PROVIDERS, description="One provider's numbers.")
PERIOD = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="From the hour of this moment; 24 hours if not given."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="To the end of this moment's hour; now if not given."),
]
FORMAT = OpenApiParameter("format", str, enum=["json", "csv"], description="csv: the table as a file.")
FIRST_YEAR, LAST_YEAR = 2000, 9998
"""Of what may be asked for: sums of times beyond have no date."""


class NumbersView(CallerView):
    """For persons, about their sites, and for backends that hold `analytics:read`."""

    scope_read = "analytics:read"


@dataclass(frozen=True, slots=True)
class Period:
    """Whole hours: from `first`, up to `end`."""

    first: datetime
    end: datetime

    @property
    def described(self) -> dict[str, str | None]:
        counted_at = health.as_of(self.first, self.end)
        return {
            "from": self.first.isoformat(),
            "to": self.end.isoformat(),
            "as_of": counted_at.isoformat() if counted_at else None,
        }


def period(request: Request, *, hours: int = 24) -> Period:
    """`?from=&to=`; without them the present hour and those before it."""
    present = hour_of(clocks.db_now())
    last = _moment(request, "to")
    end = min(present, _hour_of_last(last) if last else present) + HOUR
    start = _moment(request, "from")
    first = hour_of(start) if start else end - hours * HOUR
    if first >= end:
        raise Unprocessable({"from": ["It must lie before `to`, and not in the future"]})
    if end - first > LONGEST:
        raise Unprocessable({"from": [f"At most {LONGEST.days} days before `to`"]})
    return Period(first, end)


def days(request: Request, default: int) -> int:
    return paging.number(request, "days", default, maximum=LONGEST.days)


def wants_csv(request: Request) -> bool:
    wanted = request.query_params.get("format", "json")
    if wanted not in ("json", "csv"):
        raise Unprocessable({"format": ["json or csv"]})
    return wanted == "csv"


def rollups(request: Request, during: Period) -> QuerySet[HourlyRollup]:
    """What the caller asks for, of what the caller may see. Messages without a site are for those who reach all."""
    rows = health.between(during.first, during.end)
    if provider := _provider(request):
        rows = rows.filter(provider=provider)
    if (site := _site(request)) is not None:
        return rows.filter(site=site)
    who = caller(request)
    return rows if reach.reaches_all(who) else rows.filter(site__in=reach.sites(who).values("site_id"))


def numbers(request: Request, during: Period, *fields: str) -> dict[tuple[Any, ...], Numbers]:
    """The sums of these by `provider`, `hour`, both or neither."""
    if _site(request) is None and reach.reaches_all(caller(request)):
        return health.everywhere(during.first, during.end, *fields, provider=_provider(request))
    return health.by(rollups(request, during), *fields)


def sites(request: Request) -> QuerySet[Site]:
    """The sites in the caller's reach, or the one asked for."""
    site = _site(request)
    mine = reach.sites(caller(request))
    return mine if site is None else mine.filter(pk=site.pk)


def devices(request: Request) -> QuerySet[Device]:
    """The devices in the caller's reach, or those of the site asked for."""
    site = _site(request)
    mine = reach.devices(caller(request))
    return mine if site is None else mine.filter(site=site)


def channels(request: Request) -> QuerySet[Channel]:
    return Channel.objects.filter(device__in=devices(request).values("pk"))


def asked(request: Request) -> dict[str, str | None]:
    """The filters, as they were understood."""
    site = _site(request)
    return {"site": site.site_id if site else None, "provider": _provider(request)}


def _site(request: Request) -> Site | None:
    """404 for a site that is not there, or not the caller's."""
    site_id = request.query_params.get("site")
    if site_id is None:
        return None
    found = reach.sites(caller(request)).filter(site_id=site_id.replace("\x00", "")).first()
    if found is None:
        raise NotFound("Not found")
    return found


def _provider(request: Request) -> str | None:
    given = request.query_params.get("provider")
    if given is None:
        return None
    name = canonical_name(given)
    if name not in (*PROVIDERS, *known_names()):
        raise Unprocessable({"provider": [f"One of {', '.join(PROVIDERS)}"]})
    return name


def _moment(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        moment: datetime = Moment().to_internal_value(LOST_PLUS.sub(r"\1+\2", given))
    except ValidationError as error:
        raise Unprocessable({name: error.detail}) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Unprocessable({name: [f"Its year must lie between {FIRST_YEAR} and {LAST_YEAR}"]})
    return moment


def _hour_of_last(moment: datetime) -> datetime:
    """The last hour that begins before the moment."""
    hour = hour_of(moment)
    return hour - HOUR if hour == moment else hour
