"""How numbers are written in answers, and their description for the generated documentation."""

from typing import Any

from rest_framework import serializers

from analytics import definitions, latency
from analytics.health import Numbers
from delivery.api.answers import count, moment

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

COUNTED_APART = ("handed_over", "fallback", "skewed", "opened", "clicked")
COLUMNS = (
    "ordered", *definitions.STATES, *COUNTED_APART, "attempted", "accepted", "refused", "retries",
    *definitions.RATES, *SHARES,
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
        **{name: numbers[name] for name in COUNTED_APART},
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
        "verdicts": dict(numbers.verdicts),
        "not_judged": numbers["not_judged"],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# --- Described
def rate(of: definitions.Definition) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=f"{of.text} 0 to 1; null without any.")


def _ms() -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, required=False)


class SpreadSerializer(serializers.Serializer[Any]):
    """Milliseconds; null where nothing was measured."""

    p50, p95, p99, mean = _ms(), _ms(), _ms(), _ms()
    count = serializers.IntegerField()


def _counted(of: definitions.Definition) -> serializers.IntegerField:
    return serializers.IntegerField(help_text=of.text)


class MessageStatesSerializer(serializers.Serializer[Any]):
    """Every message is in one of the states: they sum to `ordered`."""

    ordered = serializers.IntegerField()
    delivered = _counted(definitions.STATES["delivered"])
    late = _counted(definitions.STATES["late"])
    failed = _counted(definitions.STATES["failed"])
    expired = _counted(definitions.STATES["expired"])
    cancelled = _counted(definitions.STATES["cancelled"])
    skipped = _counted(definitions.STATES["skipped"])
    open = _counted(definitions.STATES["open"])


class TimesSerializer(serializers.Serializer[Any]):
    """The four parts of end_to_end, and how long people took to open."""

    queue = SpreadSerializer(help_text=definitions.QUEUE_WAIT.text)
    handoff = SpreadSerializer(help_text=definitions.HANDOFF.text)
    transit = SpreadSerializer(help_text=definitions.TRANSIT.text)
    ack_return = SpreadSerializer(help_text=definitions.ACK_RETURN.text)
    end_to_end = SpreadSerializer(help_text=definitions.END_TO_END.text)
    to_open = SpreadSerializer(help_text=definitions.TIME_TO_OPEN.text)


class AttemptsSerializer(serializers.Serializer[Any]):
    """`attempted` is `accepted` and `refused` together."""

    attempted = serializers.IntegerField()
    accepted = serializers.IntegerField()
    refused = serializers.IntegerField()
    retries = serializers.IntegerField(help_text="Those that were not the first of their message.")
    handoff_ms = SpreadSerializer(help_text="How long accepted attempts took.")


def maybe() -> serializers.CharField:
    return serializers.CharField(allow_null=True)


def period_fields() -> dict[str, Any]:
    return {"from": moment(), "to": moment(), "as_of": moment()}


def numbers_fields() -> dict[str, Any]:
    return {
        "messages": MessageStatesSerializer(),
        **{name: count() for name in COUNTED_APART},
        **{name: rate(of) for name, of in definitions.RATES.items()},
        "latency_ms": SpreadSerializer(help_text=definitions.LATENCY.text),
        "times_ms": TimesSerializer(),
        "attempts": AttemptsSerializer(),
        "failures": serializers.DictField(
            child=count(),
            help_text="Refused attempts by outcome: retry, throttled, address_gone, rejected, misconfigured.",
        ),
        "verdicts": serializers.DictField(
            child=count(),
            help_text="Why messages were late, failed, expired or cancelled, by verdict; see docs/verdicts.md.",
        ),
        "not_judged": _counted(definitions.NOT_JUDGED),
    }
