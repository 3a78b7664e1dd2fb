"""Pure: verdicts against the causes that were injected."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENOUGH = 500
RIGHT_SHARE = 0.99
NONE = "none"
"""The cause and the verdict of what arrived in time."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judged:
    """One message: whether its device or provider was in trouble, and what the product says."""

    hurt: bool
    late: bool
    in_time: bool
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One scenario. Of the hurt ones only what did not arrive in time is compared; nothing else may have a verdict."""

    name: str
    cause: str
    messages: int
    verdicts: Mapping[str, int]
    """Of what was compared."""
    right: int
    unknown: int
    wrong: int
    figures: Mapping[str, Any]
    also_wrong: Sequence[str]

    @property
    def compared(self) -> int:
        return self.right + self.unknown + self.wrong

    @property
    def problems(self) -> list[str]:
        found = list(self.also_wrong)
        if self.compared < ENOUGH:
            found.append(f"{self.compared} messages to compare, {ENOUGH} are needed")
        if self.right < RIGHT_SHARE * self.compared:
            found.append(f"{self.right} of {self.compared} right")
        if self.wrong:
            found.append(f"{self.wrong} called by another cause")
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "injected": self.cause,
            "messages": self.messages,
            "undelivered": 0 if self.cause == NONE else self.compared,
            "right": self.right,
            "unknown": self.unknown,
            "wrong": self.wrong,
            "verdicts": dict(self.verdicts),
            **self.figures,
        }


def compare(
    name: str,
    cause: str,
    judged: Sequence[Judged],
    figures: Mapping[str, Any] | None = None,
    also_wrong: Sequence[str] = (),
) -> Result:
    """`cause` NONE: all should have arrived, and have no verdict."""
    verdicts: Counter[str] = Counter()
    right = unknown = 0
    for each in judged:
        expected = cause if each.hurt else NONE
        if each.late:
            expected = "too_late"
        elif each.in_time:
            expected = NONE
        if expected == NONE == each.verdict and cause != NONE:
            continue
        verdicts[each.verdict] += 1
        right += each.verdict == expected
        unknown += each.verdict == UNKNOWN != expected
    wrong = verdicts.total() - right - unknown
    return Result(
        name=name,
        cause=cause,
        messages=len(judged),
        verdicts=dict(verdicts.most_common()),
        right=right,
        unknown=unknown,
        wrong=wrong,
        figures=figures or {},
        also_wrong=also_wrong,
    )


def matrix(results: Sequence[Result]) -> str:
    """Injected causes down, verdicts across; what is right stands in brackets."""
    columns = list(dict.fromkeys([*(result.cause for result in results), *sorted(_said(results))]))
    width = max(len(column) for column in columns)
    head = " " * 20 + "".join(f"{number:>7}" for number in range(1, len(columns) + 1))
    lines = [f"{number:>3} {column:<{width}}" for number, column in enumerate(columns, 1)]
    for result in results:
        cells = [_cell(result.verdicts.get(column, 0), column == result.cause) for column in columns]
        lines.append(f"{result.name:<20}" + "".join(cells))
    return "\n".join([*lines[: len(columns)], "", head, *lines[len(columns) :]])


def _said(results: Sequence[Result]) -> set[str]:
    return {verdict for result in results for verdict in result.verdicts}


def _cell(count: int, right: bool) -> str:
    text = f"[{count}]" if right else str(count) if count else "."
    return f"{text:>7}"
