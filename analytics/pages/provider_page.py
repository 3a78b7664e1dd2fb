"""One provider: may its credentials send, how did its hours go, with which codes does it refuse, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Max
from django.urls import reverse

from analytics.pages import heatmap, providers, reading, reasons, tiles
from analytics.pages.asked import PROVIDERS, Asked
from analytics.pages.frame import around, switches
from analytics.pages.links import Figure
from delivery.models import Channel, DeliveryAttempt, ProviderState
from delivery.outcomes import OutcomeKind

CODES_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Code:
    outcome: str
    code: str
    attempts: int
    messages: Figure
    last_at: datetime


def panels(asked: Asked) -> dict[str, Any]:
    assert asked.provider is not None, "a provider's page"
    sums = reading.sums(asked)
    shown = heatmap.read(asked, sums.by_site)
    return {
        "title": PROVIDERS[asked.provider],
        **around(asked, more_sites=shown.more),
        "switches": switches(asked, providers=False),
        "tiles": tiles.tiles(asked, sums.total),
        "credentials": credentials(asked.provider),
        "grid": heatmap.drawn(asked, shown),
        "providers": providers.table(asked, sums.by_provider),
        "codes": codes(asked),
        "reasons": reasons.table(asked, sums.total),
        "can_change": asked.everywhere,
    }


def credentials(provider: str) -> list[dict[str, Any]]:
    """Each with its breaker, and how many addresses it has in which state."""
    states = {state.credential: state for state in ProviderState.objects.filter(provider=provider)}
    addresses: dict[str, dict[str, int]] = {}
    counted = Channel.objects.filter(provider=provider).order_by().values_list("credential", "state")
    for credential, state, count in counted.annotate(count=Count("pk")):
        addresses.setdefault(credential, {})[state] = count
    return [
        {"name": name, "state": states.get(name), "addresses": sorted(addresses.get(name, {}).items())}
        for name in sorted({*states, *addresses})
    ]


def codes(asked: Asked) -> list[Code]:
    """What it refused attempts with, the most frequent first; counted from the rows of the attempts."""
    attempts = DeliveryAttempt.objects.filter(
        provider=asked.provider, started_at__gte=asked.first, started_at__lt=asked.end
    ).exclude(outcome=OutcomeKind.ACCEPTED.value)
    if not asked.everywhere:
        attempts = attempts.filter(push__site_id__in=asked.site_ids)
    groups: Iterable[Any] = (
        attempts.values("outcome", "code")
        .annotate(attempts=Count("pk"), messages=Count("push", distinct=True), last_at=Max("started_at"))
        .order_by("-attempts")[:CODES_SHOWN]
    )
    return [
        Code(
            row["outcome"].replace("_", " "),
            row["code"],
            row["attempts"],
            Figure(row["messages"], _refused(asked, row["outcome"], row["code"])),
            row["last_at"],
        )
        for row in groups
    ]


def _refused(asked: Asked, outcome: str, code: str) -> str:
    query = {
        "refused": f"{asked.provider}/{outcome}/{code}",
        "tried_from": f"{asked.first:%Y-%m-%dT%H:%MZ}",
        "tried_to": f"{asked.end:%Y-%m-%dT%H:%MZ}",
    }
    return f"{reverse('admin:delivery_pushnotificationlog_changelist')}?{urlencode(query)}"
