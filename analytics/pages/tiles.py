"""Five figures: how much, how well, how fast, by which way, who is silent. Each with its target and its messages."""

from dataclasses import dataclass, field

from analytics import definitions, targets
from analytics.definitions import Definition
from analytics.health import Numbers
from analytics.pages import links
from analytics.pages.asked import Asked
from analytics.pages.links import Figure
from delivery.admin.looks import NOTHING, duration


@dataclass(frozen=True, slots=True)
class Tile:
    name: str
    term: Definition
    figure: str
    url: str
    target: str
    judged: str = ""
    """`good` or `bad` against its target; empty where it has none, or nothing is known."""
    parts: list[tuple[Figure, str]] = field(default_factory=list)
    """What the figure is made of, in words."""


def tiles(asked: Asked, total: Numbers) -> list[Tile]:
    return [_messages(asked, total), _delivery(asked, total), _p95(asked, total), _fallback(asked, total)]


def _messages(asked: Asked, total: Numbers) -> Tile:
    ordered = links.figure(asked, total["ordered"])
    return Tile("Messages", definitions.MESSAGES, ordered.text, ordered.url, "no target", parts=[
        (links.figure(asked, total["arrived"], "arrived"), "arrived"),
        (links.figure(asked, total["missed"], "missed"), "failed or expired"),
        (links.figure(asked, total["open"], "open"), "open"),
        (links.figure(asked, total["cancelled"], "cancelled"), "cancelled"),
        (links.figure(asked, total["skipped"], "skipped"), "skipped"),
    ])  # fmt: skip


def _delivery(asked: Asked, total: Numbers) -> Tile:
    rate = total.rate(definitions.DELIVERY_RATE)
    delivered = links.figure(asked, total["delivered"], "delivered")
    taken = links.figure(asked, total["handed_over"], "handed_over")
    judged = _judge(rate is not None and rate >= targets.DELIVERY_RATE, rate)
    target = f"at least {targets.DELIVERY_RATE:.0%}"
    parts = [(delivered, "in time, of"), (taken, "taken")]
    return Tile("Delivery rate", definitions.DELIVERY_RATE, percent(rate), delivered.url, target, judged, parts)


def _p95(asked: Asked, total: Numbers) -> Tile:
    p95_ms = total.percentile_ms(0.95)
    measured = links.figure(asked, total["latency_count"], "measured")
    skewed = links.figure(asked, total["skewed"], "skewed")
    judged = _judge(p95_ms is not None and p95_ms <= targets.P95_MS, p95_ms)
    target = f"at most {targets.P95_MS / 1000:g} s"
    parts = [(measured, "measured,"), (skewed, "clock off")]
    return Tile("p95 latency", definitions.P95, duration(p95_ms), measured.url, target, judged, parts)


def _fallback(asked: Asked, total: Numbers) -> Tile:
    rate = total.rate(definitions.FALLBACK_RATE)
    moved = links.figure(asked, total["fallback"], "fallback")
    taken = links.figure(asked, total["handed_over"], "handed_over")
    judged = _judge(rate is not None and rate <= targets.FALLBACK_RATE, rate)
    target = f"at most {targets.FALLBACK_RATE:.0%}"
    parts = [(moved, "moved on, of"), (taken, "taken")]
    return Tile("Fallback rate", definitions.FALLBACK_RATE, percent(rate), moved.url, target, judged, parts)


def percent(share: float | None) -> str:
    """One decimal; 100 only where it is all, 0 only where it is nothing."""
    if share is None:
        return NOTHING
    shown = round(100 * share, 1)
    if shown == 100 and share < 1:
        return "99.9 %"
    return f"{0.1 if shown == 0 and share > 0 else shown:.1f} %"


def _judge(good: bool, known: float | None) -> str:
    if known is None:
        return ""
    return "good" if good else "bad"
