"""A limit: the same pipeline with a provider that answers at once, so that nothing travels."""

from collections.abc import Mapping
from typing import Any

from bench import addresses
from bench.stage import Stage

NAME = "the same with a no-op provider"
MESSAGES = 50_000
AT_ONCE: dict[str, str] = {
    "ALLOW_SIMULATION": "1",
    "SIMULATION_PROFILE": "ideal",
    "SIMULATION_ANSWER_MEDIAN_MS": "0",
    "SIMULATION_ACK_RATE": "0",
}


def rate(stage: Stage, _provider: str, _credential: Mapping[str, Any]) -> float:
    """Messages a second."""
    with stage.play("fanout", "maintenance", "simulation", **AT_ONCE) as play:
        addresses.give(play, "simulation", MESSAGES)
        play.warm_up("simulation")
        return MESSAGES / play.send_all(MESSAGES)
