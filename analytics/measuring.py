"""Reading: what alerts are judged by, a few statements for each kind, whatever the number of messages."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet, Sum

from analytics import alert_causes, health
from analytics.alert_causes import Ended
from analytics.alert_rules import Measured
from analytics.counting import HOUR
from analytics.definitions import share
from analytics.health import Numbers
from analytics.models import HourlyRollup, Rung, Zombie
from analytics.rollups import hour_of
from delivery import watchdog
from delivery.models import Channel, ProviderState, RefusedRegistration
from delivery.models.provider_state import NOT_CLOSED
from delivery.models.push_log import INBOX

EVERYWHERE = "all sites"
NO_SITE = "no site"
NAMED = 5
"""So many devices stand in a text; the link leads to all."""

_first_look_s: float | None = None
"""When this process asked first how old the sweeps are, on its monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One thing that was measured, and how an alert about it reads."""

    subject: str
    measured: Measured
    text: str
    cause: str = ""
    site_id: str | None = None
    provider: str = ""


class Recent:
    """The numbers of the present hour and the one before it, read once."""

    def __init__(self, now: datetime) -> None:
        self._span = (now - HOUR, hour_of(now) + HOUR)
        self._rollups: QuerySet[HourlyRollup] = health.between(*self._span)

    @cached_property
    def by_provider(self) -> Mapping[str, Numbers]:
        return {provider: numbers for (provider,), numbers in health.everywhere(*self._span, "provider").items()}

    @cached_property
    def ended(self) -> Mapping[str | None, Mapping[str, Ended]]:
        """By site and provider."""
        found: defaultdict[str | None, dict[str, Ended]] = defaultdict(dict)
        groups: Iterable[Any] = (
            self._rollups.order_by()
            .values_list("site_id", "provider")
            .annotate(Sum("failed"), Sum("expired"), Sum("delivered"), Sum("late"))
        )
        for site_id, provider, failed, expired, delivered, late in groups:
            found[site_id][provider] = Ended(failed + expired, delivered + late)
        return found

    def verdicts(self, site_id: str) -> Mapping[str, int]:
        """Why the site's messages were missed, as far as that was judged."""
        found: Counter[str] = Counter()
        for verdicts in self._rollups.filter(site_id=site_id).values_list("verdicts", flat=True):
            found.update(verdicts)
        return found


def site_failures(recent: Recent, *, limit: float) -> list[Reading]:
    """Of what ended at each site: what failed or expired."""
    everywhere = _by_provider(recent.ended)
    return [
        _site_failures(recent, site_id, here, everywhere, limit)
        for site_id, here in recent.ended.items()
        if site_id is not None and any(ended.whole for ended in here.values())
    ]


def _by_provider(ended: Mapping[str | None, Mapping[str, Ended]]) -> dict[str, Ended]:
    found: dict[str, Ended] = {}
    for here in ended.values():
        for provider, one in here.items():
            before = found.get(provider, Ended(0, 0))
            found[provider] = Ended(before.missed + one.missed, before.arrived + one.arrived)
    return found


def _site_failures(
    recent: Recent, site_id: str, here: Mapping[str, Ended], everywhere: Mapping[str, Ended], limit: float
) -> Reading:
    missed, whole = sum(each.missed for each in here.values()), sum(each.whole for each in here.values())
    elsewhere = {
        name: Ended(everywhere[name].missed - own.missed, everywhere[name].arrived - own.arrived)
        for name, own in here.items()
    }
    worst = max(here, key=lambda name: here[name].missed)
    judged = alert_causes.of_verdicts(recent.verdicts(site_id)) if missed > limit * whole else ""
    return Reading(
        subject=site_id,
        measured=Measured(value=missed / whole, sample=whole),
        text=f"At {site_id} {missed} of {whole} messages were missed ({missed / whole:.1%}), "
        f"{here[worst].missed} of them by {worst}.",
        cause=judged or alert_causes.of_site(here, elsewhere, limit=limit),
        site_id=site_id,
        provider=worst if here[worst].missed == missed else "",
    )


def provider_errors(recent: Recent) -> list[Reading]:
    """Of the attempts on each provider: what it did not accept."""
    return [
        Reading(
            subject=provider,
            measured=Measured(value=numbers["refused"] / numbers["attempted"], sample=numbers["attempted"]),
            text=f"{provider} did not accept {numbers['refused']} of {numbers['attempted']} attempts "
            f"({numbers['refused'] / numbers['attempted']:.1%}).",
            cause=alert_causes.of_errors(numbers.refused),
            provider=provider,
        )
        for provider, numbers in recent.by_provider.items()
        if numbers["attempted"]
    ]


def p95s(recent: Recent) -> list[Reading]:
    """How long 95 of 100 deliveries took, by provider. The inbox is not timed: a device fetches when it wants to."""
    found = []
    for provider, numbers in recent.by_provider.items():
        p95_ms = numbers.percentile_ms(0.95)
        if p95_ms is None or provider == INBOX:
            continue
        found.append(
            Reading(
                subject=provider,
                measured=Measured(value=p95_ms, sample=numbers["latency_count"]),
                text=f"By {provider} 95 of 100 messages took up to {p95_ms / 1000:.1f} s; "
                f"the target is {settings.ALERT_P95_MS / 1000:g} s.",
                cause=alert_causes.of_slowness(p95_ms, numbers.percentile_ms(0.95, "taken")),
                provider=provider,
            )
        )
    return found


def fallback(recent: Recent) -> list[Reading]:
    """Of what was handed over everywhere: what was not taken by its first provider."""
    moved = sum(numbers["fallback"] for numbers in recent.by_provider.values())
    taken = sum(numbers["handed_over"] for numbers in recent.by_provider.values())
    if not taken:
        return []
    closed = ProviderState.objects.filter(state__in=NOT_CLOSED).values_list("provider", "credential")
    errors = {name: share(n["refused"], n["attempted"]) or 0.0 for name, n in recent.by_provider.items()}
    return [
        Reading(
            subject=EVERYWHERE,
            measured=Measured(value=moved / taken, sample=taken),
            text=f"{moved} of {taken} messages ({moved / taken:.1%}) were taken by another provider than their first.",
            cause=alert_causes.of_fallback(["/".join(key) for key in closed], errors),
        )
    ]


def registrations(now: datetime) -> list[Reading]:
    """Of the registrations of the last two hours: what was refused."""
    since = hour_of(now) - HOUR
    refused = dict(
        RefusedRegistration.objects.filter(hour__gte=since).values_list("why").annotate(Sum("count")).order_by()
    )
    failed, good = sum(refused.values()), Channel.objects.filter(registered_at__gte=since).count()
    if not failed:
        return [Reading(subject=EVERYWHERE, measured=Measured(value=0.0, sample=good), text="")]
    worst = max(refused, key=lambda why: refused[why])
    return [
        Reading(
            subject=EVERYWHERE,
            measured=Measured(value=failed / (failed + good), sample=failed + good),
            text=f"{failed} of {failed + good} registrations were refused ({failed / (failed + good):.1%}).",
            cause=f"{refused[worst]} of them: {worst}.",
        )
    ]


def zombies(*, limit: int) -> list[Reading]:
    """By site: how many stand. One that nothing could heal is a ticket: it counts for as many as open an alert."""
    found: Iterable[Any] = (
        Zombie.objects.standing()
        .values_list("site_id")
        .annotate(count=Count("id"), tickets=Count("id", filter=Q(rung=Rung.TICKET)))
        .order_by()
    )
    return [_zombies(site_id, count, tickets, limit) for site_id, count, tickets in found]


def _zombies(site_id: str | None, count: int, tickets: int, limit: int) -> Reading:
    here = Zombie.objects.standing().filter(Q(site_id=site_id) if site_id else Q(site=None))
    named = ", ".join(f"{each.device_id} ({each.provider})" for each in here.order_by("-rung_at", "id")[:NAMED])
    more = f" and {count - NAMED} more" if count > NAMED else ""
    providers = sorted(set(here.values_list("provider", flat=True)))
    return Reading(
        subject=site_id or NO_SITE,
        measured=Measured(value=max(count, limit) if tickets else count),
        text=f"Online and confirming nothing at {site_id or NO_SITE}: {named}{more}. "
        f"{tickets} of {count} could not be healed.",
        cause=_cause_of_zombies(count, providers, limit),
        site_id=site_id,
        provider=providers[0] if len(providers) == 1 else "",
    )


def _cause_of_zombies(count: int, providers: list[str], limit: int) -> str:
    if count >= limit and len(providers) == 1:
        return f"{providers[0]} is blocked at this site: its devices are online, and nothing comes by it."
    return "The app was closed by force, may not show messages, or has an address that is not its own any more."


def late_sweeps(now: datetime) -> list[Reading]:
    """How long ago each sweep ran, as a share of how long that may be. Those that run once a day may skip one.

    One that never ran has not run since this process looked first: it may be new.
    """
    global _first_look_s
    _first_look_s = _first_look_s if _first_look_s is not None else time.monotonic()
    unseen_s = time.monotonic() - _first_look_s
    schedule: Mapping[str, Any] = settings.CELERY_BEAT_SCHEDULE
    ages_s = watchdog.sweeps_s(now)
    return [_sweep(name, ages_s.get(name, unseen_s), entry["schedule"]) for name, entry in schedule.items()]


def _sweep(name: str, age_s: float, every_s: float) -> Reading:
    return Reading(
        subject=name,
        measured=Measured(value=age_s / max(2 * every_s, every_s + settings.ALERT_SWEEP_LATE_S)),
        text=f"{name} should run every {every_s:g} s, and has not run for {_for(age_s)}.",
        cause="It fails, and its error is in the log of the maintenance worker; or that worker has too much to do.",
    )


def open_breakers(now: datetime) -> list[Reading]:
    """For how long each credential has been closed."""
    return [
        _breaker(state, (now - state.opened_at).total_seconds())
        for state in ProviderState.objects.filter(state__in=NOT_CLOSED)
        if state.opened_at is not None
    ]


def _breaker(state: ProviderState, open_s: float) -> Reading:
    name = f"{state.provider}/{state.credential}"
    return Reading(
        subject=name,
        measured=Measured(value=open_s),
        text=f"{name} has taken nothing for {_for(open_s)}: {state.why or 'no reason is known'}.",
        cause="The provider is down, cannot be reached from here, or refuses our credential. Messages take the next "
        "channel.",
        provider=state.provider,
    )


def _for(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
