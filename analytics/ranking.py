"""Pure: which provider is best for a place, and why; no word where there are too few messages to tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

ENOUGH = 20
"""Messages that a provider must have taken before it is compared."""
AS_GOOD = 0.01
"""A delivery rate within one point of the best is as good; then the faster one wins."""
Z_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one provider did."""

    taken: int
    delivered: int
    p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    provider: str
    rank: int | None
    """1 is the best; None: not enough data."""
    interval: tuple[float, float] | None
    """Where the true delivery rate lies, 95 times of 100."""
    why: str


def rank(records: Mapping[str, Record]) -> list[Ranked]:
    """The best first, those that cannot be compared last."""
    known = {name: record for name, record in records.items() if _is_enough(record)}
    best_rate = max((_rate(record) for record in known.values()), default=0.0)
    in_order = sorted(known, key=lambda name: (*_key(known[name], best_rate), name))
    ranked = [_ranked(name, number, known, in_order, best_rate) for number, name in enumerate(in_order, 1)]
    others = sorted(records.keys() - known.keys())
    return ranked + [
        Ranked(
            provider=name,
            rank=None,
            interval=interval(records[name].delivered, records[name].taken),
            why=f"not enough data: it took {records[name].taken} messages, {ENOUGH} are needed",
        )
        for name in others
    ]


def interval(part: int, whole: int) -> tuple[float, float] | None:
    """Wilson's score interval of a share; None where there was nothing to divide by."""
    if not whole:
        return None
    share, spread = part / whole, Z_95**2 / whole
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 * sqrt(share * (1 - share) / whole + spread / (4 * whole)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def _is_enough(record: Record) -> bool:
    return record.taken >= ENOUGH


def _rate(record: Record) -> float:
    return record.delivered / record.taken


def _is_as_good(record: Record, best_rate: float) -> bool:
    return record.p95_ms is not None and _rate(record) >= best_rate - AS_GOOD


def _key(record: Record, best_rate: float) -> tuple[int, float]:
    """As good as the best: by speed; the others behind them, by delivery rate."""
    if _is_as_good(record, best_rate) and record.p95_ms is not None:
        return 0, record.p95_ms
    return 1, -_rate(record)


def _ranked(name: str, number: int, known: Mapping[str, Record], in_order: Sequence[str], best_rate: float) -> Ranked:
    record = known[name]
    figures = f"{_rate(record):.1%} delivered of {record.taken}"
    if record.p95_ms is not None:
        figures += f", p95 {record.p95_ms / 1000:.2f} s"
    if len(in_order) == 1:
        place = "the only one with enough messages"
    elif not _is_as_good(record, best_rate):
        place = f"over a point below the best delivery rate, {best_rate:.1%}" if record.p95_ms else "never confirmed"
    elif number == 1:
        place = "the fastest of those that deliver as well as the best"
    else:
        place = f"delivers as well as the best, slower than {in_order[0]}"
    return Ranked(
        provider=name, rank=number, interval=interval(record.delivered, record.taken), why=f"{place}: {figures}"
    )
