"""Rows by hour, as the server draws them: a figure in each cell, its step of colour, a mark where much was lost.

Blue steps lie within the target, orange and red beyond it. An hour without messages is hatched, which is not zero; a
cell is marked where over a tenth was not delivered: failed messages have no latency, so an outage would look calm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from analytics import definitions, targets
from analytics.health import Numbers
from analytics.pages import links
from analytics.pages.asked import SHOWN, Asked
from analytics.pages.tiles import percent
from delivery.admin.looks import NOTHING, duration

WIDTH, HEIGHT, GAP = 38, 28, 2
"""Of a cell, in pixels."""
TOP = 20
"""Above the cells: their hours."""
P95_STEPS_MS = tuple(
    (times * targets.P95_MS, look) for times, look in ((0.25, "b1"), (0.5, "b2"), (1, "b3"), (2.5, "o1"), (7.5, "o2"))
)
"""Up to so many ms: the class of the cell; beyond the last: red."""
RATE_STEPS = tuple(
    (1 - times * targets.NOT_DELIVERED, look)
    for times, look in ((0.2, "b1"), (0.6, "b2"), (1, "b3"), (2, "o1"), (4, "o2"))
)
"""From this rate on; below the last: red."""
VOLUME_STEPS = ((0.25, "b1"), (0.5, "b2"), (1.0, "b3"))
"""Of the fullest hour shown."""


EMPTY = '<rect class="none" x="{}" y="{}" width="36" height="26" rx="2"><title>{}</title></rect>\n'
FULL = (
    '<a href="{0}" aria-label="{1}"><title>{1}</title><rect class="{2}" x="{3}" y="{4}" width="36" height="26" rx="2"/>'
    '<text class="on-{2}" x="{3}" y="{4}" dx="18" dy="17">{5}</text>{6}</a>\n'
)
LOST = '<path class="lost" d="M24 0 H36 V12 Z" transform="translate({} {})"/>'


@dataclass(frozen=True, slots=True)
class Point:
    """One hour of a row."""

    numbers: Numbers
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    url: str
    hours: Mapping[datetime, Point]
    site_id: str | None = None
    """Whose messages the cells lead to; with `provider`, those of the provider alone."""
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    at: int
    text: str
    url: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    shown: str
    """Which figure the cells hold."""
    width: int
    height: int
    hours: list[Label]
    rows: list[Label]
    cells: SafeString
    """Their SVG, hundreds of them: drawn here, since templates take ten times as long."""
    legend: list[tuple[str, str]]


def draw(asked: Asked, rows: Sequence[Row]) -> Grid:
    hours = asked.hours_shown
    fullest = max((point.numbers["ordered"] for row in rows for point in row.hours.values()), default=0)
    cells = [
        _cell(asked, row, hour, column * WIDTH, TOP + line * HEIGHT, fullest)
        for line, row in enumerate(rows)
        for column, hour in enumerate(hours)
    ]
    return Grid(
        shown=SHOWN[asked.show],
        width=len(hours) * WIDTH,
        height=TOP + len(rows) * HEIGHT,
        hours=[_hour(hour, column * WIDTH) for column, hour in enumerate(hours)],
        rows=[Label(TOP + line * HEIGHT, row.label, row.url) for line, row in enumerate(rows)],
        cells=mark_safe("".join(cells)),
        legend=LEGENDS[asked.show],
    )


def _hour(hour: datetime, at: int) -> Label:
    return Label(at, f"{hour:%d %b}" if hour.hour == 0 else f"{hour:%H}", strong=hour.hour == 0)


def _cell(asked: Asked, row: Row, hour: datetime, x: int, y: int, fullest: int) -> SafeString:
    where = f"{row.label}, {hour:%d %b %H:%M} UTC"
    point = row.hours.get(hour)
    if point is None or not point.numbers["ordered"]:
        return format_html(EMPTY, x, y, f"{where}: no messages")
    look, text = LOOKS[asked.show](point, fullest)
    url = links.messages(asked, site_id=row.site_id, provider=row.provider, hour=hour)
    lost = format_html(LOST, x, y) if (point.numbers.not_delivered or 0.0) > targets.MARKED_OVER else ""
    return format_html(FULL, url, f"{where}: {_told(point)}", look, x, y, text, lost)


def _told(point: Point) -> str:
    numbers = point.numbers
    return (
        f"{links.counted(numbers['ordered'])} messages, p95 {duration(point.p95_ms)}, delivery rate "
        f"{percent(numbers.rate(definitions.DELIVERY_RATE))}, not delivered {percent(numbers.not_delivered)}"
    )


def _p95(point: Point, fullest: int) -> tuple[str, str]:
    p95_ms = point.p95_ms
    if p95_ms is None:
        return "unknown", NOTHING
    return next((look for up_to, look in P95_STEPS_MS if p95_ms <= up_to), "red"), short_seconds(p95_ms)


def _rate(point: Point, fullest: int) -> tuple[str, str]:
    rate = point.numbers.rate(definitions.DELIVERY_RATE)
    if rate is None:
        return "unknown", NOTHING
    return next((look for least, look in RATE_STEPS if rate >= least), "red"), f"{int(100 * rate)}"


def _volume(point: Point, fullest: int) -> tuple[str, str]:
    share = point.numbers["ordered"] / fullest
    return next(look for up_to, look in VOLUME_STEPS if share <= up_to), short_count(point.numbers["ordered"])


LOOKS: Mapping[str, Callable[[Point, int], tuple[str, str]]] = {"p95": _p95, "rate": _rate, "volume": _volume}
"""By what is shown: a cell's class and its text, from its numbers and the most that any cell holds."""
assert LOOKS.keys() == SHOWN.keys()


def _steps(steps: Sequence[tuple[float, str]], text: Callable[[float], str]) -> list[tuple[str, str]]:
    return [(look, text(end) + (": the target" if look == "b3" else "")) for end, look in steps]


LEGENDS = {
    "p95": [*_steps(P95_STEPS_MS, lambda ms: f"{ms / 1000:g} s"), ("red", "longer"),
            ("unknown", "none arrived in time"), ("none", "no messages")],
    "rate": [*_steps(RATE_STEPS, lambda rate: f"{100 * rate:g} %"), ("red", "less"), ("unknown", "none taken"),
             ("none", "no messages")],
    "volume": [("b1", "up to a quarter of the fullest hour"), ("b2", "a half"), ("b3", "all"), ("none", "no messages")],
}  # fmt: skip


def short_seconds(ms: float) -> str:
    """In four characters at most: 0.4 9.8 42 17m 3h 12d"""
    seconds = ms / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}"
    for unit_s, most, sign in ((1, 999.5, ""), (60, 99.5, "m"), (3600, 99.5, "h")):
        if seconds / unit_s < most:
            return f"{seconds / unit_s:.0f}{sign}"
    return f"{seconds / 86400:.0f}d"


def short_count(number: int) -> str:
    """In four characters at most: 999 9.9k 999k 9.9M"""
    for unit, sign in ((1, ""), (1_000, "k"), (1_000_000, "M")):
        if number < 999.5 * unit:
            return str(number) if unit == 1 else f"{number / unit:.{1 if number < 9.95 * unit else 0}f}{sign}"
    return "999M+"
