"""From `POST /jobs` to `sent` committed: the whole pipeline, through TLS, on durable servers.

Beside each provider, in the same run, to the same stub: what people would use instead, and the limits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import addresses, cpu, h2load, no_op, transport
from bench.case import Case, Figures
from bench.peers import clients, naive_pipeline
from bench.progress import tell
from bench.stage import Play, Stage

MESSAGES = 50_000

Rate = Callable[[Stage, str, Mapping[str, Any]], float | None]
"""Messages a second at a provider with its credential's settings; None where what it needs is not here."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What a row is measured beside."""

    peer: tuple[str, Rate]
    others: Sequence[tuple[str, Rate]]
    limit: str = "the transport alone"
    name: str = ""


NAIVE = ("a task per message, ORM saves", naive_pipeline.rate)
LIMITS = ((no_op.NAME, no_op.rate), (h2load.NAME, h2load.rate))
ROWS = {
    "fcm": Beside(NAIVE, [*((each.name, each.rate) for each in clients.FCM), *LIMITS]),
    "apns": Beside(NAIVE, [*((each.name, each.rate) for each in clients.APNS), *LIMITS]),
    "web_push": Beside(
        (clients.WEBPUSH_ALONE.name, clients.WEBPUSH_ALONE.rate),
        [(each.name, each.rate) for each in clients.WEB_PUSH],
        limit="encryption and transport alone",
        name="web_push",
    ),
    "mqtt": Beside((clients.PAHO.name, clients.PAHO.rate), [], name="mqtt"),
}


def case(provider: str) -> Case:
    beside = ROWS[provider]
    return Case(
        name=beside.name or f"job_to_provider_{provider}",
        sentence=f"{MESSAGES} messages from one job to {provider}, each committed as sent",
        unit="msg/s",
        peer=beside.peer[0],
        limit=beside.limit,
        measure=_measure(provider, beside),
    )


def _measure(provider: str, beside: Beside) -> Callable[[Stage], Figures]:
    rates = (beside.peer, *beside.others)

    def measure(stage: Stage) -> Figures:
        with stage.play("fanout", "maintenance", provider) as play:
            addresses.give(play, provider, MESSAGES)
            play.warm_up(provider)
            value, cost_us = job(play, provider)
        measured = {name: _told(name, rate(stage, provider, play.credential(provider))) for name, rate in rates}
        limit_value = transport.rate(stage, provider, play.credential(provider))
        return Figures(value, limit_value, cost_us, measured.pop(beside.peer[0]), measured)

    return measure


def _told(name: str, value: float | None) -> float | None:
    tell(f"    {name}: {'not here' if value is None else f'{value:,.0f}'}")
    return value


def job(play: Play, provider: str) -> tuple[float, dict[str, float]]:
    """Messages a second, and what each cost; an error where the stub counted other than the database."""
    parts = play.processes()
    before = cpu.seconds(parts)
    with play.stage.expecting(provider, MESSAGES):
        seconds = play.send_all(MESSAGES)
        cost_us = cpu.spent_us(before, cpu.seconds(parts), MESSAGES)
    return MESSAGES / seconds, cost_us
