"""A cut of the network between an agent and its server and broker, and what became of everything meanwhile.

    PYTHONPATH=clients/python .venv/bin/python -m tests.clients.python.cut --seconds 60

starts the product on servers of its own and prints the figures; the exit status is 1 where something was lost or
doubled, or an ack told a wrong time. `make test` runs the same scene with a cut of a few seconds.
"""

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests import servers
from tests.clients.python.hosts import Host
from tests.clients.python.network import Network
from tests.clients.python.world import World, running_world
from tests.journey.api import wait_until

LINES = 100
NO_WORSE_THAN_S = 0.5


@dataclass(frozen=True, slots=True)
class Figures:
    cut_s: float
    ordered: int
    received: int
    lost: int
    doubled: int
    """Messages that the host program was handed more than once."""
    acked: int
    worst_ack_error_ms: int
    """Between the time in an ack and the true time at which the host program had the message."""
    lines_written: int
    lines_stored: int
    back_after_ms: int
    """From the end of the cut until the first message that was held up was there."""

    @property
    def good(self) -> bool:
        right_times = self.worst_ack_error_ms <= NO_WORSE_THAN_S * 1000
        return (self.lost, self.doubled) == (0, 0) and self.acked == self.ordered and self.stored and right_times

    @property
    def stored(self) -> bool:
        return self.lines_stored == self.lines_written


def scene(world: World, folder: Path, cut_s: float, during: int) -> Figures:
    """Five messages before, so many in the cut, five after it."""
    with (
        Network(world.production.url, world.broker.url) as network,
        Host(world, folder, server=network.server_url, mqtt=network.mqtt_url) as host,
    ):
        device_id = host.wait_until_woken("mqtt").device_id
        ordered = [world.push(device_id, f"before {number}") for number in range(5)]
        host.wait_until_pushed(5)
        network.cut()
        for number in range(during):
            ordered.append(world.push(device_id, f"during {number}"))
            for line in range(LINES // during):
                host.agent.note("scene", f"{number}.{line}")
            time.sleep(cut_s / during)
        had_meanwhile = len(host.pushes)
        network.mend()
        mended_at = time.time()
        ordered += [world.push(device_id, f"after {number}") for number in range(5)]
        rows = world.wait_until_delivered(device_id, len(ordered), 60)
        lines = LINES // during * during
        stored = "SELECT count(*) FROM delivery_telemetrylog t JOIN delivery_device d ON d.id = t.device_id"
        stored += " WHERE d.device_id = %s AND type = 'scene'"
        wait_until(lambda: world.record.number(stored, device_id) >= lines, "telemetry", 30)
        assert not any(state.disk_full for state in host.states), "a false alarm"
        came = {message.message_id: came_at for message, came_at in host.pushes}
        errors_s = [abs(row["received_at"].timestamp() - came[str(row["message_id"])]) for row in rows]
        return Figures(
            cut_s=cut_s,
            ordered=len(ordered),
            received=len(came),
            lost=len(set(ordered) - came.keys()),
            doubled=len(host.pushes) - len(came),
            acked=sum(row["status"] == "delivered" for row in rows),
            worst_ack_error_ms=round(1000 * max(errors_s)),
            lines_written=lines,
            lines_stored=world.record.number(stored, device_id),
            back_after_ms=round(1000 * (host.pushes[had_meanwhile][1] - mended_at)),
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="A cut of the network, as an agent lives through it.")
    parser.add_argument("--seconds", type=float, default=60.0, help="default 60")
    parser.add_argument("--messages", type=int, default=50, help="ordered during the cut; default 50, at most 100")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends what was started
    with tempfile.TemporaryDirectory() as name, servers.Postgres() as postgres, servers.Redis() as redis:
        Path(name).chmod(0o711)
        (folder := Path(name) / "product").mkdir()
        with running_world(folder, postgres.url, redis.url) as world:
            figures = scene(world, Path(name) / "till", asked.seconds, asked.messages)
    said = " ".join(f"{name}={value:g}" for name, value in asdict(figures).items())
    print(f"{said} {'ok' if figures.good else 'FAILED'}")  # noqa: T201
    return 0 if figures.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
