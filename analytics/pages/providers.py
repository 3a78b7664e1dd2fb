"""Providers side by side: what each did not deliver, on a scale of 0 to 10 %, and every message in one state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from analytics import definitions, health, targets
from analytics.api import shapes
from analytics.definitions import share
from analytics.health import Numbers
from analytics.pages import links
from analytics.pages.asked import PROVIDERS, Asked
from analytics.pages.links import Figure
from analytics.pages.tiles import percent
from delivery.admin.looks import duration
from delivery.models import ProviderState
from delivery.models.provider_state import Breaker
from delivery.models.push_log import INBOX

SCALE = 0.1
"""The bar's whole length."""
LENGTH = 160
"""In pixels."""
STATES = tuple(definitions.STATES)
COLUMNS = ("provider", *shapes.COLUMNS)


@dataclass(frozen=True, slots=True)
class Bar:
    """Failed, then expired; cut off at the scale's end."""

    failed: int
    expired: int
    beyond: bool
    target: int = round(LENGTH * targets.NOT_DELIVERED / SCALE)
    length: int = LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    name: str
    url: str
    breaker: str
    """Credentials that may not send, in words."""
    bar: Bar | None
    not_delivered: str
    missed_target: bool
    ordered: Figure
    states: list[tuple[str, Figure]]
    p95: str
    p95_missed: bool
    attempted: int
    error_rate: str


def table(asked: Asked, found: Mapping[str, Numbers]) -> list[Line]:
    """One line each, the inbox last, and their sum where there are several."""
    waiting = breakers()
    names = sorted(found, key=lambda name: (name == INBOX, name))
    written = [_line(asked, PROVIDERS.get(name, name), found[name], name, waiting.get(name, "")) for name in names]
    if len(names) > 1:
        written.append(_line(asked, "All", health.total(found.values()), None, ""))
    return written


def lines(asked: Asked) -> Iterator[list[Any]]:
    for (name,), numbers in sorted(_numbers(asked).items()):
        yield [name, *shapes.cells(numbers)]


def _numbers(asked: Asked) -> dict[tuple[str], Numbers]:
    if asked.everywhere and asked.site is None:
        return health.everywhere(asked.first, asked.end, "provider", provider=asked.provider)
    return health.timed(asked.rollups, "provider")


def breakers() -> dict[str, str]:
    """Which credentials may not send now, by provider."""
    states = ProviderState.objects.exclude(state=Breaker.CLOSED).order_by("provider", "credential")
    found: dict[str, list[str]] = {}
    for state in states:
        found.setdefault(state.provider, []).append(f"{state.credential} {state.get_state_display()}: {state.why}")
    return {name: "; ".join(each) for name, each in found.items()}


def bar(numbers: Numbers) -> Bar | None:
    ended = numbers["missed"] + numbers["arrived"]
    if not ended:
        return None
    failed = min(LENGTH, round(LENGTH * numbers["failed"] / ended / SCALE))
    expired = min(LENGTH - failed, round(LENGTH * numbers["expired"] / ended / SCALE))
    return Bar(failed, expired, numbers["missed"] / ended > SCALE)


def _line(asked: Asked, name: str, numbers: Numbers, provider: str | None, breaker: str) -> Line:
    p95_ms = numbers.percentile_ms(0.95)
    return Line(
        name=name,
        url=reverse("provider_page", args=[provider]) if provider else "",
        breaker=breaker,
        bar=bar(numbers),
        not_delivered=percent(numbers.not_delivered),
        missed_target=(numbers.not_delivered or 0.0) > targets.NOT_DELIVERED,
        ordered=links.figure(asked, numbers["ordered"], provider=provider),
        states=[(state, links.figure(asked, numbers[state], state, provider=provider)) for state in STATES],
        p95=duration(p95_ms),
        p95_missed=p95_ms is not None and p95_ms > targets.P95_MS,
        attempted=numbers["attempted"],
        error_rate=percent(share(numbers["refused"], numbers["attempted"])),
    )
