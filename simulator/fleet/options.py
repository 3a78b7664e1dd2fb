"""Everything that a fleet is told when it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator.fleet.habits import HABITS, Habits
from simulator.fleet.listening import Broker
from simulator.fleet.network import Network
from simulator.fleet.plan import Place
from simulator.fleet.roster import Roster

CALM = HABITS["calm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    server_url: str
    broker: Broker | None
    """None: MQTT devices only beat."""
    push_services: Path
    """The folder in which the emulated push services say how they are reached."""
    places: Sequence[Place]
    network: Network
    roster: Roster
    bootstrap_key: str
    check_known: bool
    """Whether a device of an earlier run first asks if the server still knows it."""
    api_key: str
    jobs_every_s: float
    """0: no jobs."""
    heartbeat_s: float
    """The mean; each device's own pace is between half and one and a half of it. 0: no heartbeats."""
    poll_s: float
    """Between two looks of an inbox device into its inbox; those of the push services look SELDOM times as rarely."""
    mqtt_connections: int
    """0: one for each device. Else these open when every device is enrolled."""
    ack_batch: int
    """1: each ack is a request of its own."""
    count_file: Path
    ledger_file: Path | None
    """Where each message is noted, one by one; None: nowhere."""
    seed: int | None = None
    habits: Habits = CALM
    trouble_file: Path | None = None
    """What goes wrong at the devices' end (troubles.py); with `mqtt_connections` all listen to MQTT undisturbed."""
