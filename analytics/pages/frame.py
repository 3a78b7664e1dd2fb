"""What all pages have around their panels: switches of the filters, words with their meaning, pages of sites."""

from dataclasses import dataclass
from typing import Any

from analytics import definitions, targets
from analytics.pages.asked import PROVIDERS, SHOWN, SPANS, Asked

TERMS = {
    name: getattr(definitions, name)
    for name in ("MESSAGES", "DELIVERY_RATE", "ERROR_RATE", "NOT_DELIVERED", "P95", "ZOMBIES")
}


@dataclass(frozen=True, slots=True)
class Choice:
    text: str
    url: str
    chosen: bool


def around(asked: Asked, *, more_sites: bool = False) -> dict[str, Any]:
    return {
        "asked": asked,
        "terms": TERMS,
        "states": tuple(definitions.STATES),
        "target_percent": f"{targets.NOT_DELIVERED:.0%}",
        "earlier": asked.address(page=asked.page - 1) if asked.page > 1 else "",
        "later": asked.address(page=asked.page + 1) if more_sites else "",
    }


def switches(asked: Asked, *, providers: bool = True) -> dict[str, list[Choice]]:
    """What the page can be asked for instead; what holds now is chosen."""
    hours = [Choice(text, asked.address(hours=span, page=1), span == asked.hours) for span, text in SPANS.items()]
    cells = [Choice(text, asked.address(show=show), show == asked.show) for show, text in SHOWN.items()]
    if not providers:
        return {"Hours": hours, "Cells": cells}
    named: list[tuple[str | None, str]] = [(None, "all"), *PROVIDERS.items()]
    chosen = [Choice(text, asked.address(provider=name, page=1), name == asked.provider) for name, text in named]
    return {"Hours": hours, "Cells": cells, "Provider": chosen}
