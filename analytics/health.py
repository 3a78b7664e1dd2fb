"""Reading: how delivery goes, from the hourly numbers.

What a caller may see is decided before: `of` takes the rollups that it may sum.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Max, Q, QuerySet, Sum

from analytics import definitions, latency, totals
from analytics.definitions import share
from analytics.models import COUNTS, JSON_FIELDS, HourlyRollup, RollupState
from analytics.rollups import hour_of

KEY = ("hour", "site_id", "provider")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Sums of some rollups. A rate is None where there was nothing to divide by."""

    counts: Mapping[str, int]
    refused: Mapping[str, int] = field(default_factory=dict)
    """Attempts that were not accepted, by outcome."""
    verdicts: Mapping[str, int] = field(default_factory=dict)
    """Why messages were not delivered in time, the most frequent cause first."""
    times: Mapping[str, latency.Histogram] = field(default_factory=dict)
    """By the names of definitions.TIMES, and `taken`: how long accepted attempts took. Only what was asked for."""

    latencies: Sequence[latency.Histogram] = ()
    """Instead of `times["latency"]`, where they were not merged: for percentiles."""

    def __getitem__(self, name: str) -> int:
        """A field of the rollups, or `open`, `arrived`, `missed`, `refused`, `not_judged`."""
        match name:
            case "open":
                return self["ordered"] - sum(self[state] for state in definitions.STATES if state != "open")
            case "arrived":
                return self["delivered"] + self["late"]
            case "missed":
                return self["failed"] + self["expired"]
            case "refused":
                return self["attempted"] - self["accepted"]
            case "not_judged":
                not_in_time = sum(self[state] for state in definitions.JUDGED)
                return not_in_time - sum(self.verdicts.values())
            case _:
                return self.counts[name]

    @property
    def states(self) -> dict[str, int]:
        """Each message in one of them: together they are `ordered`."""
        return {state: self[state] for state in definitions.STATES}

    @property
    def rates(self) -> dict[str, float | None]:
        return {name: self.rate(of) for name, of in definitions.RATES.items()}

    def rate(self, of: definitions.Definition) -> float | None:
        return share(self[of.part], self[of.whole])

    @property
    def not_delivered(self) -> float | None:
        """The share of failed and expired in what has ended, without what was called off or never to be sent."""
        return share(self["missed"], self["missed"] + self["arrived"])

    def percentile_ms(self, share_: float, part: str = "latency") -> float | None:
        if part == "latency" and self.latencies:
            return latency.percentile_of(self.latencies, share_)
        return latency.percentile_ms(self.times.get(part, {}), share_)


@dataclass(slots=True)
class _Sums:
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    refused: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, list[latency.Histogram]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        for name in COUNTS:
            self.counts[name] += row[name]
        for outcome, count in row["refused"].items():
            self.refused[outcome] = self.refused.get(outcome, 0) + count
        for verdict, count in row["verdicts"].items():
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + count
        for part, one in (("latency", row["latency"]), ("taken", row["handoff"]), *row["times"].items()):
            if one:
                self.histograms.setdefault(part, []).append(one)

    def numbers(self) -> Numbers:
        times = {part: latency.merge(parts) for part, parts in self.histograms.items()}
        verdicts = dict(sorted(self.verdicts.items(), key=lambda item: (-item[1], item[0])))
        return Numbers(counts=self.counts, refused=dict(sorted(self.refused.items())), verdicts=verdicts, times=times)


NOTHING = _Sums().numbers()


def by(rollups: QuerySet[HourlyRollup], *fields: str) -> dict[tuple[Any, ...], Numbers]:
    """The sums for each value of some fields, such as `site_id` and `hour`; read row by row, kept by group."""
    return _grouped(rollups.order_by().values(*{*fields, *COUNTS, *JSON_FIELDS}).iterator(), fields)


def _grouped(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> dict[tuple[Any, ...], Numbers]:
    groups: dict[tuple[Any, ...], _Sums] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in fields), _Sums()).add(row)
    return {key: sums.numbers() for key, sums in groups.items()}


def everywhere(
    first: datetime, end: datetime, *fields: str, provider: str | None = None
) -> dict[tuple[Any, ...], Numbers]:
    """The same of all sites together, by `provider`, `hour` or both: quicker by as much as there are sites."""
    return _grouped(totals.rows(Q(hour__gte=hour_of(first), hour__lt=end), provider), fields)


def timed(rollups: QuerySet[HourlyRollup], *fields: str) -> dict[tuple[Any, ...], Numbers]:
    """The counts and the latency alone for each value of some fields: an eighth of what `by` has to read."""
    groups: dict[tuple[Any, ...], list[Numbers]] = {}
    for row in rollups.order_by().values_list(*fields, "latency", *COUNTS).iterator():
        key, took, counts = row[: len(fields)], row[len(fields)], row[len(fields) + 1 :]
        groups.setdefault(key, []).append(Numbers(counts=dict(zip(COUNTS, counts, strict=True)), latencies=[took]))
    return {key: merged(parts) for key, parts in groups.items()}


def summed(rollups: QuerySet[HourlyRollup], *fields: str) -> dict[tuple[Any, ...], Numbers]:
    """The counts alone for each value of some fields, summed by the database: no times, no outcomes."""
    totals: Any = {f"sum_{name}": Sum(name) for name in COUNTS}
    groups = rollups.order_by().values_list(*fields).annotate(**totals)
    found = {}
    for row in groups:
        key, counts = row[: len(fields)], row[len(fields) :]
        found[key] = Numbers(counts=dict(zip(COUNTS, counts, strict=True)))
    return found


def total(parts: Iterable[Numbers]) -> Numbers:
    """The counts and latencies of all of them together."""
    parts = list(parts)
    counts = {name: sum([part.counts[name] for part in parts]) for name in COUNTS}
    return Numbers(counts=counts, latencies=[one for part in parts for one in _latencies(part) if one])


def merged(parts: Iterable[Numbers]) -> Numbers:
    """The same as one histogram, for tables that say more of the latency than one percentile."""
    found = total(parts)
    return replace(found, times={"latency": latency.merge(found.latencies)}, latencies=())


def _latencies(numbers: Numbers) -> Sequence[latency.Histogram]:
    return numbers.latencies or [numbers.times.get("latency", {})]


def one_by_one(rollups: QuerySet[HourlyRollup]) -> Iterator[tuple[tuple[datetime, str | None, str], Numbers]]:
    """Each rollup as it stands, by hour, site and provider: for tables of any length."""
    for row in rollups.order_by("hour", "site_id", "provider").values(*KEY, *COUNTS, *JSON_FIELDS).iterator():
        sums = _Sums()
        sums.add(row)
        yield (row["hour"], row["site_id"], row["provider"]), sums.numbers()


def between(first: datetime, end: datetime) -> QuerySet[HourlyRollup]:
    """The rollups of the hours from that of `first`, up to `end`."""
    return HourlyRollup.objects.filter(hour__gte=hour_of(first), hour__lt=end)


def as_of(first: datetime, end: datetime) -> datetime | None:
    """When the numbers of these hours were counted last; None if they never were."""
    states = RollupState.objects.filter(hour__gte=hour_of(first), hour__lt=end)
    last: datetime | None = states.aggregate(last=Max("counted_at"))["last"]
    return last
