"""Which messages a list shows: by what a figure counts, under which provider, ordered in which hours."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime

from delivery import clocks
from delivery.admin.looks import LOOKS
from delivery.admin.paging import NewestFirst
from delivery.models import DeliveryAttempt
from delivery.models.channel import PROVIDER_CHOICES
from delivery.models.counted import FIGURES, counted_under
from delivery.models.push_log import INBOX

FIRST_YEAR, LAST_YEAR = 2000, 9998
"""Of what may be asked for: sums of times beyond have no date."""
UNDER = [*PROVIDER_CHOICES, (INBOX, "Inbox")]
SETS = {
    "open": "not ended yet",
    "missed": "failed or expired",
    "not_in_time": "failed, expired, cancelled or late",
    "arrived": "the device has it",
    "handed_over": "taken by a provider or the inbox",
    "fallback": "taken by another provider than the first",
    "measured": "with a latency: in time, by a good clock",
    "skewed": "arrived, with a clock that made no sense",
    "opened": "opened by a person",
    "clicked": "clicked by a person",
}
"""What figures count beyond the states."""


def moment_of(text: str) -> datetime | None:
    """An aware moment; None where the text is none."""
    try:
        at = parse_datetime(text)
    except ValueError:
        return None
    if at is None or not FIRST_YEAR <= at.year <= LAST_YEAR:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def refuse(request: HttpRequest, name: str, text: str) -> IncorrectLookupParameters:
    """Tell who asked, who is then led to the list without filters."""
    messages.warning(request, f"{name}={request.GET.get(name, '')[:80]}: {text}. Here is the list without filters.")
    return IncorrectLookupParameters(name)


def asked_moment(request: HttpRequest, name: str, text: str) -> datetime:
    at = moment_of(text)
    if at is None:
        raise refuse(request, name, "Not a moment such as 2026-11-21T14:00Z")
    return at


class HowItWent(admin.SimpleListFilter):
    """By state, late apart from delivered, or by what else a figure counts."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((word, f"{look.shape} {word}") for word, look in LOOKS.items()), *SETS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        word = self.value()
        if word is None:
            return queryset
        if word not in LOOKS and word not in FIGURES:
            raise refuse(request, "state", f"One of {', '.join([*LOOKS, *SETS])}")
        return queryset.filter(FIGURES.get(word, Q(status=word)))


class CountedUnder(admin.SimpleListFilter):
    """By the provider in whose numbers a message is: who accepted it, else the first that it was meant for."""

    title = "provider that it counts for"
    parameter_name = "under"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return UNDER

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        provider = self.value()
        if provider is None:
            return queryset
        if provider not in dict(UNDER):
            raise refuse(request, "under", f"One of {', '.join(dict(UNDER))}")
        counted: QuerySet[Any] = queryset.alias(under=counted_under()).filter(under=provider)
        return counted


class OrderedIn(admin.ListFilter):
    """`?from=&to=`: ordered from the one moment up to the other."""

    title = "ordered"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.bounds: dict[str, str] = {name: params.pop(name)[-1] for name in ("from", "to") if name in params}
        self.used_parameters.update(self.bounds)

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        now = clocks.db_now()
        anytime = changelist.get_query_string(remove=["from", "to"])
        yield {"selected": not self.bounds, "query_string": anytime, "display": "at any time"}
        for hours, name in ((1, "in the last hour"), (24, "in the last 24 hours")):
            since = f"{now - timedelta(hours=hours):%Y-%m-%dT%H:%MZ}"
            query = changelist.get_query_string({"from": since}, remove=["to"])
            yield {"selected": self.bounds == {"from": since}, "query_string": query, "display": name}

    def expected_parameters(self) -> list[str | None]:
        return ["from", "to"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        lookups = {"from": "created_at__gte", "to": "created_at__lt"}
        for name, text in self.bounds.items():
            queryset = queryset.filter(**{lookups[name]: asked_moment(request, name, text)})
        return queryset


class Refused(admin.ListFilter):
    """`?refused=PROVIDER/OUTCOME/CODE`: what an attempt from `tried_from` up to `tried_to` was refused with."""

    title = "refused attempts"
    lookups: Mapping[str, str] = {"tried_from": "started_at__gte", "tried_to": "started_at__lt"}

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.bounds: dict[str, str] = {name: params.pop(name)[-1] for name in self.lookups if name in params}
        self.refused: str = params.pop("refused", [""])[-1]

    def has_output(self) -> bool:
        return bool(self.refused)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        without = changelist.get_query_string(remove=["refused", *self.lookups])
        yield {"selected": False, "query_string": without, "display": "with or without"}
        yield {"selected": True, "query_string": changelist.get_query_string(), "display": self.refused}

    def expected_parameters(self) -> list[str | None]:
        return ["refused", *self.lookups]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        provider, _, rest = self.refused.partition("/")
        outcome, _, code = rest.partition("/")
        attempts = DeliveryAttempt.objects.filter(provider=provider, outcome=outcome, code=code)
        for name, text in self.bounds.items():
            attempts = attempts.filter(**{self.lookups[name]: asked_moment(request, name, text)})
        refused: QuerySet[Any] = queryset.filter(pk__in=attempts.values("push"))
        return refused


class NewestOrders(NewestFirst):
    """Of some hours or of a site in the order of `created_at`, whose indexes lead to those; else by key."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.by_time = not {"from", "to", "site", "site__isnull"}.isdisjoint(request.GET)
        super().__init__(request, *args, **kwargs)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return ["-created_at", "-pk"] if self.by_time else ["-pk"]

    def behind(self, last: int) -> QuerySet[Any]:
        if not self.by_time:
            return super().behind(last)
        at = self.root_queryset.filter(pk=last).values_list("created_at", flat=True).first()
        behind = Q(pk=None) if at is None else Q(created_at__lt=at) | Q(created_at=at, pk__lt=last)
        rows: QuerySet[Any] = self.queryset.filter(behind, created_at__lte=at or clocks.db_now())
        return rows


def chosen(request: HttpRequest) -> list[str]:
    """The filters in force that no sidebar shows, in words."""
    asked = request.GET
    begin, end = moment_of(asked.get("from", "")), moment_of(asked.get("to", ""))
    return [
        *_ordered(begin, end),
        *(f"{name} {asked[name]}" for name in ("site", "device", "job") if asked.get(name)),
        *([f"verdict: {asked['verdict__exact'] or 'not judged yet'}"] if "verdict__exact" in asked else []),
        *([f"with an attempt refused: {asked['refused']}"] if asked.get("refused") else []),
        *(["no site"] if "site__isnull" in asked else []),
        *([SETS[asked["state"]]] if asked.get("state") in SETS else []),
        *([f"counted for {dict(UNDER)[asked['under']]}"] if asked.get("under") in dict(UNDER) else []),
    ]


def _ordered(begin: datetime | None, end: datetime | None) -> list[str]:
    if begin and end and end - begin == timedelta(hours=1):
        return [f"ordered on {begin:%Y-%m-%d} from {begin:%H:%M} to {end:%H:%M} UTC"]
    return [
        *([f"ordered from {begin:%Y-%m-%d %H:%M} UTC"] if begin else []),
        *([f"ordered before {end:%Y-%m-%d %H:%M} UTC"] if end else []),
    ]
