"""Push Health, the first page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User

from analytics.pages import alerts, checklist, fastest, heatmap, providers, reading, reasons, tiles, zombies
from analytics.pages.asked import Asked
from analytics.pages.frame import around, switches


def panels(asked: Asked) -> dict[str, Any]:
    """All that the page shows; each panel a statement or two."""
    sums = reading.sums(asked)
    shown = heatmap.read(asked, sums.by_site)
    missing = checklist.steps(asked)
    return {
        **around(asked, more_sites=shown.more),
        "switches": switches(asked),
        "tiles": [*tiles.tiles(asked, sums.total), zombies.tile(asked)],
        "alerts": alerts.standing(asked),
        "grid": heatmap.drawn(asked, shown),
        "providers": providers.table(asked, sums.by_provider),
        "fastest": fastest.table(asked, shown.sites, shown.hours),
        "reasons": reasons.table(asked, sums.total),
        "checklist": [] if all(step.done for step in missing) else missing,
    }


def may_look(person: User) -> bool:
    """Whoever may look at messages may look at their numbers."""
    return person.has_perm("delivery.view_pushnotificationlog")


def _fastest_lines(asked: Asked) -> Iterable[Sequence[Any]]:
    return fastest.lines(asked, reading.cells(asked, asked.site_ids))


TABLES: Mapping[str, tuple[Sequence[str], Callable[[Asked], Iterable[Sequence[Any]]]]] = {
    "heatmap": (heatmap.COLUMNS, heatmap.lines),
    "providers": (providers.COLUMNS, providers.lines),
    "fastest": (fastest.COLUMNS, _fastest_lines),
    "reasons": (reasons.COLUMNS, reasons.lines),
    "alerts": (alerts.COLUMNS, alerts.lines),
    "zombies": (zombies.COLUMNS, zombies.lines),
}
"""What can be had as CSV: columns and lines, of what is asked for."""
