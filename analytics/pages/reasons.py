"""Why messages did not arrive in time: each by its verdict, those of which nothing is known yet as well."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analytics import definitions, health
from analytics.definitions import share
from analytics.health import Numbers
from analytics.pages import links, reading
from analytics.pages.asked import Asked
from analytics.pages.links import Figure
from analytics.pages.tiles import percent
from delivery.models import Verdict

LENGTH = 120
"""The longest bar, in pixels."""
COLUMNS = ("verdict", "messages")
MISSED = "not_in_time"
NOT_JUDGED = ""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    figure: Figure
    percent: str
    length: int


@dataclass(frozen=True, slots=True)
class Reasons:
    """The lines sum to `whole`."""

    whole: Figure
    lines: list[Line]


def table(asked: Asked, total: Numbers) -> Reasons:
    """The most frequent first; `total` are the counts of all that is asked for."""
    whole = not_in_time(total)
    found = counts(asked, whole)
    most = max(found.values(), default=0)
    return Reasons(
        links.figure(asked, whole, MISSED),
        [
            Line(
                _text(verdict),
                Figure(count, links.messages(asked, MISSED, verdict__exact=verdict)),
                percent(share(count, whole)),
                round(LENGTH * count / most),
            )
            for verdict, count in found.items()
        ],
    )


def counts(asked: Asked, whole: int) -> Mapping[str, int]:
    """By verdict, the most frequent first; what is not judged yet comes last."""
    judged = reading.verdicts(asked)
    to_come = whole - sum(judged.values())
    return {**judged, **({NOT_JUDGED: to_come} if to_come > 0 else {})}


def not_in_time(total: Numbers) -> int:
    return sum(total[state] for state in definitions.JUDGED)


def lines(asked: Asked) -> Iterator[list[Any]]:
    total = health.total(health.summed(asked.rollups, "provider").values())
    for verdict, count in counts(asked, not_in_time(total)).items():
        yield [verdict or "not_judged", count]


def _text(verdict: str) -> str:
    if verdict == NOT_JUDGED:
        return "not judged yet"
    return str(Verdict(verdict).label) if verdict in Verdict.values else verdict
