"""Reading: how addresses come and go, how long they have been silent, and how many devices can be reached."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, TruncDate

from analytics.definitions import share
from delivery.models import Channel, Device
from delivery.models.channel import ChannelState

IDLE_DAYS = (30, 60, 90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    day: date
    registered: int
    """Addresses that were registered for the first time, and are still known."""
    lost: int
    """Addresses that were disabled or archived that day and have not come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The active addresses of one provider, by how long they carried nothing. The parts sum to `active`."""

    provider: str
    active: int
    under_30: int
    from_30: int
    from_60: int
    from_90: int
    """Also those since when nothing was accepted for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    devices: int
    """Neither suspended nor retired."""
    reachable: int
    """With an active channel."""

    @property
    def reachability(self) -> float | None:
        return share(self.reachable, self.devices)


def by_day(channels: QuerySet[Channel], *, first: date, last: date) -> list[Day]:
    """Every day from `first` to `last`, UTC, also those on which nothing happened."""
    began = datetime(first.year, first.month, first.day, tzinfo=UTC)
    registered = _per_day(channels.filter(created_at__gte=began), "created_at")
    gone = channels.filter(disabled_at__gte=began, state__in=[ChannelState.DISABLED, ChannelState.ARCHIVED])
    lost = _per_day(gone.exclude(disabled_code="replaced"), "disabled_at")
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [Day(day=day, registered=registered.get(day, 0), lost=lost.get(day, 0)) for day in days]


def _per_day(channels: QuerySet[Channel], moment: str) -> dict[date, int]:
    found: Iterable[tuple[date, int]] = (
        channels.annotate(day=TruncDate(moment, tzinfo=UTC)).values_list("day").annotate(Count("pk")).order_by()
    )
    return dict(found)


def idle(channels: QuerySet[Channel], now: datetime) -> list[Idle]:
    """Active addresses by provider; one that never carried anything counts from its last registration."""
    bounds = [now - timedelta(days=days) for days in IDLE_DAYS]
    groups: Iterable[dict[str, Any]] = (
        channels.usable()  # type: ignore[attr-defined]
        .alias(heard=Coalesce("last_used_at", "registered_at"))
        .values("provider")
        .annotate(
            active=Count("pk"),
            under_30=Count("pk", filter=Q(heard__gt=bounds[0])),
            from_30=Count("pk", filter=Q(heard__lte=bounds[0], heard__gt=bounds[1])),
            from_60=Count("pk", filter=Q(heard__lte=bounds[1], heard__gt=bounds[2])),
            from_90=Count("pk", filter=Q(heard__lte=bounds[2])),
        )
        .order_by("provider")
    )
    return [Idle(**group) for group in groups]


def reach(devices: QuerySet[Device]) -> Reach:
    usable = Channel.objects.usable().filter(device=OuterRef("pk"))
    there = devices.filter(pk__in=Device.objects.reachable().values("pk"))
    return Reach(
        devices=there.count(),
        reachable=there.filter(Exists(usable)).count(),
    )
