"""Step 10: Push Health, the first page. Every figure says what it counts, against which target, and as of when."""

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse

from analytics import definitions
from analytics.health import Health
from delivery.admin.looks import NOTHING, duration

DELIVERY_TARGET = 0.95
P95_TARGET_MS = 2_000


@dataclass(frozen=True, slots=True)
class Tile:
    name: str
    figure: str
    means: str
    judged: str = ""
    """`good` or `bad` against its target; empty where it has none, or nothing is known."""
    link: str = ""


def tiles(found: Health) -> list[Tile]:
    return [
        Tile(
            "Messages",
            f"{found.messages:,}".replace(",", " "),
            "ordered",
            link=reverse("admin:delivery_pushnotificationlog_changelist"),
        ),
        Tile(
            "Delivery rate",
            _percent(found.delivery_rate),
            f"{definitions.DELIVERY_RATE.text} Target {DELIVERY_TARGET:.0%}.",
            _judge(found.delivery_rate, lambda rate: rate >= DELIVERY_TARGET),
        ),
        Tile(
            "p95 latency",
            duration(found.p95_ms),
            f"95 of 100 took no longer. {definitions.LATENCY.text} Target {P95_TARGET_MS // 1000} s.",
            _judge(found.p95_ms, lambda p95_ms: p95_ms <= P95_TARGET_MS),
        ),
        Tile("Fallback rate", _percent(found.fallback_rate), definitions.FALLBACK_RATE.text),
    ]


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _judge(value: float | None, good: Callable[[float], bool]) -> str:
    if value is None:
        return ""
    return "good" if good(value) else "bad"
