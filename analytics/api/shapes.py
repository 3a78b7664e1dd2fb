"""How numbers are written in answers, and their description for the generated documentation."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from analytics import definitions, latency
from analytics.health import Numbers
from delivery.api.answers import count, moment, shape

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

COLUMNS = (
    "ordered", *definitions.STATES, "handed_over", "fallback", "skewed", "opened", "clicked", "attempted", "accepted",
    "refused", "retries", *definitions.RATES, *SHARES,
)  # fmt: skip
"""Of every table of numbers, behind what its lines are about. The percentiles are those of the latency, in ms."""


def cells(numbers: Numbers) -> list[Any]:
    """One line of a table, in the order of COLUMNS."""
    counts = [numbers[name] for name in COLUMNS[: -len(definitions.RATES) - len(SHARES)]]
    return [*counts, *numbers.rates.values(), *percentiles_ms(numbers.times.get("latency", {})).values()]


def percentiles_ms(of: latency.Histogram) -> dict[str, float | None]:
    return {name: _rounded(latency.percentile_ms(of, share)) for name, share in SHARES.items()}


def spread_ms(of: latency.Histogram) -> dict[str, float | None]:
    return {**percentiles_ms(of), "mean": _rounded(latency.mean_ms(of)), "count": latency.count(of)}


def written(numbers: Numbers) -> dict[str, Any]:
    """All that is known, as an answer's keys."""
    return {
        "messages": {"ordered": numbers["ordered"], **numbers.states},
        **{name: numbers[name] for name in ("handed_over", "fallback", "skewed", "opened", "clicked")},
        **numbers.rates,
        "latency_ms": spread_ms(numbers.times.get("latency", {})),
        "times_ms": {part: spread_ms(numbers.times.get(part, {})) for part in definitions.TIMES if part != "latency"},
        "attempts": {
            "attempted": numbers["attempted"],
            "accepted": numbers["accepted"],
            "refused": numbers["refused"],
            "retries": numbers["retries"],
            "handoff_ms": spread_ms(numbers.times.get("taken", {})),
        },
        "failures": dict(numbers.refused),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# --- Described
def rate(of: definitions.Definition) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=f"{of.text} 0 to 1; null without any.")


def rates() -> dict[str, Any]:
    return {name: rate(of) for name, of in definitions.RATES.items()}


def spread(name: str, of: definitions.Definition | None = None) -> Any:
    """Percentiles in milliseconds."""
    fields: dict[str, Any] = {key: _ms() for key in (*SHARES, "mean")}
    described = shape(name, **fields, count=count())
    if of is not None:
        described.help_text = of.text
    return described


def _ms() -> serializers.FloatField:
    return serializers.FloatField(allow_null=True)


def maybe() -> serializers.CharField:
    return serializers.CharField(allow_null=True)


def messages() -> Any:
    states = {state: serializers.IntegerField(help_text=of.text) for state, of in definitions.STATES.items()}
    return shape("MessageStates", ordered=count(), **states)


def period_fields() -> dict[str, Any]:
    return {"from": moment(), "to": moment(), "as_of": moment()}


def numbers_fields(prefix: str) -> dict[str, Any]:
    counted: Iterable[str] = ("handed_over", "fallback", "skewed", "opened", "clicked")
    return {
        "messages": messages(),
        **{name: count() for name in counted},
        **rates(),
        "latency_ms": spread(f"{prefix}Latency", definitions.LATENCY),
        "times_ms": shape(
            f"{prefix}Times",
            **{part: spread("PartTime", of) for part, of in definitions.TIMES.items() if part != "latency"},
        ),
        "attempts": shape(
            "Attempts", attempted=count(), accepted=count(), refused=count(), retries=count(),
            handoff_ms=spread("AttemptHandoff"),
        ),
        "failures": serializers.DictField(
            child=count(), help_text="Attempts that were not accepted, by outcome: retry, throttled, address_gone, "
            "rejected, misconfigured. They sum to `attempts.refused`.",
        ),
    }  # fmt: skip
