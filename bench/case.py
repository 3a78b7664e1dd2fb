"""What is measured, and in which form it is written down (`var/bench.json`)."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of a case: its own speed, and in the same run that of the limit."""

    value: float
    limit_value: float
    cost_us: dict[str, float]
    """Processor time per message by part of the system."""
    peer_value: float | None = None
    """What people would use instead, in the same run."""
    others: Mapping[str, float | None] = field(default_factory=dict)
    """More peers and limits by name, in the same run; None: not here (what it needs is not installed)."""
    also: Mapping[str, float] = field(default_factory=dict)
    """Further figures of the case itself, by name with unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    sentence: str
    unit: str
    limit: str
    """What the limit is, in words."""
    peer: str | None = None
    less_is_better: bool = False
    """The value is a time. Shares and ratios are those of speeds all the same: 0.5 of a limit is twice its time, and 10
    times a peer a tenth of its time."""
    measure: Callable[[Stage], Figures]


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of several runs."""

    case: Case
    runs: Sequence[Figures]

    @property
    def value(self) -> float:
        return statistics.median(run.value for run in self.runs)

    @property
    def limit_value(self) -> float:
        return statistics.median(run.limit_value for run in self.runs)

    @property
    def share_of_limit(self) -> float:
        return statistics.median(self._speed(run.value, run.limit_value) for run in self.runs)

    @property
    def peer_value(self) -> float | None:
        values = [run.peer_value for run in self.runs if run.peer_value is not None]
        return statistics.median(values) if values else None

    @property
    def ratio_to_peer(self) -> float | None:
        ratios = [self._speed(run.value, run.peer_value) for run in self.runs if run.peer_value]
        return statistics.median(ratios) if ratios else None

    @property
    def others(self) -> list[dict[str, Any]]:
        """Each with its median and how many times as fast the case was; None and None where it is not here."""
        return [self._other(name) for name in self.runs[0].others]

    def _other(self, name: str) -> dict[str, Any]:
        pairs = [(run.value, found) for run in self.runs if (found := run.others.get(name)) is not None]
        if not pairs:
            return {"name": name, "value": None, "ratio": None}
        return {
            "name": name,
            "value": round(statistics.median(found for _, found in pairs), 1),
            "ratio": round(statistics.median(self._speed(value, found) for value, found in pairs), 2),
        }

    @property
    def also(self) -> dict[str, float]:
        return {name: round(statistics.median(run.also[name] for run in self.runs), 1) for name in self.runs[0].also}

    def _speed(self, value: float, other: float) -> float:
        return other / value if self.case.less_is_better else value / other

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.case.name,
            "value": round(self.value, 1),
            "unit": self.case.unit,
            "peer": self.case.peer,
            "peer_value": _rounded(self.peer_value, 1),
            "limit": self.case.limit,
            "limit_value": round(self.limit_value, 1),
            "ratio_to_peer": _rounded(self.ratio_to_peer, 2),
            "share_of_limit": round(self.share_of_limit, 3),
            "others": self.others,
            **self.also,
        }

    def lines(self) -> list[str]:
        return [self.line(), *self.other_lines(), self.cost_line()]

    def line(self) -> str:
        beside = f" {self.share_of_limit:>6.0%} of {self.case.limit} ({self.limit_value:,.0f})"
        if self.ratio_to_peer is not None:
            beside += f", {self.ratio_to_peer:.1f} x {self.case.peer} ({self.peer_value:,.0f})"
        beside += "".join(f", {name} {value:,.0f}" for name, value in self.also.items())
        return f"{self.case.name:<24} {self.value:>9,.0f} {self.case.unit:<7}{beside}"

    def other_lines(self) -> list[str]:
        return [f"{'':<24} {_beside(other)}" for other in self.others]

    def cost_line(self) -> str:
        """Where the processor's time goes, from the run in the middle."""
        middle = sorted(self.runs, key=lambda run: run.value)[len(self.runs) // 2].cost_us
        parts = ", ".join(f"{name} {cost:.0f}" for name, cost in sorted(middle.items(), key=lambda item: -item[1]))
        return f"{'':<24} us of processor per message: {sum(middle.values()):.0f} ({parts})"


@dataclass(frozen=True, slots=True)
class Failed:
    """A row without a figure: what was needed is not here, or what was counted does not agree."""

    case: Case
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"name": self.case.name, "unit": self.case.unit, "error": self.why}

    def lines(self) -> list[str]:
        return [f"{self.case.name:<24} ERROR {self.why}"]


def _beside(other: Mapping[str, Any]) -> str:
    if other["value"] is None:
        return f"{other['name']}: not here"
    return f"{other['ratio']:.2f} x {other['name']} ({other['value']:,.0f})"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
