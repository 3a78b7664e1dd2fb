"""Thousands of simulated devices, the whole product, and one job for all of them.

    .venv/bin/python -m tests.simulator.fleet.show --devices 5000 --sites 50 --network bad-wifi

starts everything on servers of its own, passes on what `manage.py simulate` says of itself, and ends with what became
of the job. The devices are written straight into the database: to register them takes longer than the job.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from simulator.services import PushServices, running
from simulator.services.configured import write_credentials
from tests import servers
from tests.journey.api import Api
from tests.journey.production import PYTHON, Production, Record
from tests.processes import Process, spawn

QUEUES = "fanout,maintenance,push.mqtt,push.fcm,push.apns,push.wns,push.web_push,push.simulation"
SETTINGS = {"DEFAULT_TTL_S": "3600", "RATE_LIMIT_FACTOR": "1000", "SIMULATION_PROFILE": "ideal"}
CONNECTED = 0.98
"""Of a fleet on a bad network somebody is always away."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="One job for thousands of simulated devices.")
    parser.add_argument("--devices", type=int, default=5_000)
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--network", default="bad-wifi")
    parser.add_argument("--habits", default="lively")
    parser.add_argument("--heartbeat", type=float, default=60.0, help="mean seconds between; default 60")
    parser.add_argument("--give-up-after", type=float, default=600.0, metavar="S")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends what was started
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o711)
        postgres, redis, mqtt = (
            stack.enter_context(server) for server in (servers.Postgres(), servers.Redis(), servers.Mqtt())
        )
        services = stack.enter_context(running(PushServices(home=folder / "push-services")))
        credentials = folder / "credentials.toml"
        write_credentials(credentials, services.describe(), services.home)
        urls = {"database_url": postgres.url, "redis_url": redis.url, "mqtt_url": mqtt.url}
        settings = {**SETTINGS, "CREDENTIALS_FILE": str(credentials)}
        production = stack.enter_context(Production(folder, **urls, settings=settings))
        api = production.prepare(asked.sites)
        fleet = _simulate(production, services, asked)
        stack.callback(fleet.kill)
        _start(production)
        record = Record(postgres.url)
        stack.callback(record.close)
        _pass_on_until_connected(fleet, asked.devices)
        return _order(api, record, fleet, asked.devices, asked.give_up_after)


def _simulate(production: Production, services: PushServices, asked: argparse.Namespace) -> Process:
    options = {
        "--devices": asked.devices,
        "--sites": asked.sites,
        "--network": asked.network,
        "--habits": asked.habits,
        "--heartbeat": asked.heartbeat,
        "--jobs-every": 0,
        "--poll": 60,
        "--var": production.folder,
        "--push-services": services.home,
    }
    command: list[str | Path] = [PYTHON, "manage.py", "simulate", "--register-directly"]
    command += [str(part) for option in options.items() for part in option]
    return spawn("fleet", command, folder=production.folder, env={**production.env, "SIMULATOR": "1"})


def _start(production: Production) -> None:
    for name in ("web", "beat", "mqtt_acks"):
        production.start(name)
    command: list[str | Path] = [PYTHON.parent / "celery", "-A", "celery_app", "worker", "--queues", QUEUES]
    command += ["--concurrency", "4", "--without-mingle", "--without-gossip"]
    production.processes["worker"] = spawn("worker", command, folder=production.folder, env=production.env)
    production.processes["web"].wait_for_url(f"{production.url}/livez", 60)
    production.processes["worker"].wait_for_line(" ready.", 60)


def _pass_on_until_connected(fleet: Process, devices: int) -> None:
    """Its lines, until nearly all that listen over MQTT are connected."""
    shown = 0
    while True:
        shown = _pass_on(fleet, shown)
        lines = [line for line in fleet.output().splitlines() if " devices: " in line]
        if lines and f" {devices} of {devices} devices" in lines[-1] and _connected(lines[-1]) >= CONNECTED:
            return
        assert fleet.alive, fleet.output()[-2_000:]
        time.sleep(1)


def _connected(line: str) -> float:
    """The share, off a line such as `... 1748 MQTT (1740 connected) ...`."""
    listening, _, rest = line.rpartition(" MQTT (")
    total = int(listening.rsplit(" ", 1)[1])
    return int(rest.split(" ", 1)[0]) / total if total else 1.0


def _order(api: Api, record: Record, fleet: Process, devices: int, give_up_after_s: float) -> int:
    shown, began = len(fleet.output().splitlines()), time.monotonic()
    job_id = api.order({"all": True})
    reached: dict[int, float] = {}
    while len(reached) < 4 and time.monotonic() - began < give_up_after_s:
        delivered = record.count(job_id, "delivered")
        for share in (50, 90, 99, 100):
            if delivered * 100 >= share * devices:
                reached.setdefault(share, time.monotonic() - began)
        shown = _pass_on(fleet, shown)
        time.sleep(1)
    _pass_on(fleet, shown)
    rows = record.rows("SELECT status, count(*) AS n FROM push_notification_logs WHERE job_id = %s GROUP BY 1", job_id)
    ends = ", ".join(f"{row['status']} {row['n']}" for row in rows)
    after = ", ".join(f"{share} % after {seconds:.0f} s" for share, seconds in reached.items())
    _say(f"devices={devices}: {ends}; delivered {after or 'fewer than half'}")
    return 0 if 100 in reached else 1


def _pass_on(fleet: Process, shown: int) -> int:
    lines = fleet.output().splitlines()
    for line in lines[shown:]:
        _say(line)
    return len(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr if line.startswith("{") else sys.stdout, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
