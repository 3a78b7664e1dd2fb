"""`manage.py simulate`: simulated devices that register, get messages and ack them, until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from simulator.fleet import direct, fleet, plan
from simulator.fleet.habits import HABITS
from simulator.fleet.listening import Broker
from simulator.fleet.network import NETWORKS
from simulator.fleet.options import Options
from simulator.fleet.push_services import Addresses
from simulator.fleet.roster import Roster

VAR = settings.BASE_DIR / "var"
CHANNELS = "fcm:0.3,apns:0.15,wns:0.1,web_push:0.1,mqtt:0.2,simulation:0.1,inbox:0.05"


class Command(BaseCommand):
    help = (
        "Simulated devices: they register over HTTP with the bootstrap key of the demo sites, beat, get messages from "
        "the emulated push services, over MQTT, through the simulation provider or from their inbox, and ack them. "
        "Until Ctrl-C or SIGTERM."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--devices", type=_number, default=300, metavar="N", help="default 300")
        parser.add_argument(
            "--sites", type=_number, default=10, metavar="N", help="spread over site-001 to site-N; default 10"
        )
        parser.add_argument("--server", default=settings.PUBLIC_URL, metavar="URL", help="default PUBLIC_URL")
        parser.add_argument("--mqtt", default=settings.MQTT_URL, metavar="URL", help="the broker; default MQTT_URL")
        parser.add_argument("--network", choices=list(NETWORKS), default="office", help="default office")
        parser.add_argument(
            "--habits",
            choices=list(HABITS),
            default="calm",
            help="reboots, new addresses, wrong clocks, acks twice or late; default calm: none of it",
        )
        parser.add_argument(
            "--channels",
            type=_channels,
            default=CHANNELS,
            metavar="CHANNEL:WEIGHT,...",
            help=f"how new devices get their messages; default {CHANNELS}",
        )
        parser.add_argument(
            "--push-services",
            type=Path,
            metavar="FOLDER",
            help="the --ca-dir of push_services; default push-services in --var",
        )
        parser.add_argument(
            "--mqtt-acks",
            type=float,
            default=0.5,
            metavar="SHARE",
            help="the share of MQTT devices that ack over MQTT, the others over HTTP; default 0.5",
        )
        parser.add_argument(
            "--jobs-every",
            type=float,
            default=20,
            metavar="S",
            help="seconds between ordered jobs; 0: none; default 20",
        )
        parser.add_argument(
            "--heartbeat",
            type=float,
            default=20,
            metavar="S",
            help="mean seconds between heartbeats; 0: none; default 20",
        )
        parser.add_argument(
            "--poll",
            type=float,
            default=15,
            metavar="S",
            help="seconds between polls of inbox devices, an eighth of those of the push services; default 15",
        )
        parser.add_argument(
            "--mqtt-connections",
            type=_number,
            default=0,
            metavar="N",
            help="share N connections among all MQTT devices; 0: one for each; default 0",
        )
        parser.add_argument(
            "--ack-batch",
            type=_number,
            default=1,
            metavar="N",
            help="up to 100 acks in one request to /push/ack/batch; 1: each on its own; default 1",
        )
        parser.add_argument(
            "--register-directly",
            action="store_true",
            help="for measurements: write sites, devices and channels straight into the database of this process's "
            "settings instead of registering over HTTP",
        )
        parser.add_argument("--seed", type=int, help="of all that is random; default: another one each time")
        parser.add_argument(
            "--var", type=Path, default=VAR, metavar="FOLDER", help="where keys are read and kept; default var"
        )
        parser.add_argument(
            "--count-file",
            type=Path,
            metavar="FILE",
            help="what devices received and acked; default fleet-counts.json in --var",
        )
        parser.add_argument(
            "--troubles",
            type=Path,
            metavar="FILE",
            help="what goes wrong at the devices' end, read again whenever it changes: simulator/fleet/troubles.py",
        )
        parser.add_argument(
            "--ledger",
            type=Path,
            metavar="FILE",
            help="a JSON line for each message that a device got and each ack that was confirmed; default none",
        )

    def handle(self, *_: object, **wanted: Any) -> None:
        options = _options(wanted)
        if wanted["register_directly"]:
            count = direct.register(
                options.places, options.roster, Addresses(options.push_services, Random(wanted["seed"]))
            )
            self.stdout.write(f"{count} devices are in the database")
        _allow_many_connections()
        uvloop.run(_until_told(options))


async def _until_told(options: Options) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await fleet.run(options, stop)


def _options(wanted: Mapping[str, Any]) -> Options:
    var: Path = wanted["var"]
    channels = wanted["channels"]
    if wanted["devices"] and not wanted["sites"]:
        raise CommandError("devices need at least one site")
    if not 1 <= wanted["ack_batch"] <= 100:
        raise CommandError("--ack-batch must be between 1 and 100")
    if channels.get("mqtt") and not wanted["mqtt"]:
        raise CommandError("set MQTT_URL, or leave MQTT out with --channels simulation:0.8,inbox:0.2")
    return Options(
        server_url=wanted["server"],
        broker=Broker.from_url(wanted["mqtt"], settings.MQTT_CA_FILE) if wanted["mqtt"] else None,
        places=list(plan.places(wanted["devices"], wanted["sites"], channels, wanted["mqtt_acks"])),
        network=NETWORKS[wanted["network"]],
        habits=HABITS[wanted["habits"]],
        push_services=wanted["push_services"] or var / "push-services",
        roster=Roster(var / "fleet"),
        bootstrap_key=_secret(var / "bootstrap-key"),
        check_known=not wanted["register_directly"],
        api_key=_secret(var / "api-key"),
        jobs_every_s=wanted["jobs_every"],
        heartbeat_s=wanted["heartbeat"],
        poll_s=wanted["poll"],
        mqtt_connections=wanted["mqtt_connections"],
        ack_batch=wanted["ack_batch"],
        count_file=wanted["count_file"] or var / "fleet-counts.json",
        ledger_file=wanted["ledger"],
        seed=wanted["seed"],
        trouble_file=wanted["troubles"],
    )


def _secret(file: Path) -> str:
    """Empty where `manage.py demo` has not run: then nobody can provision, or no jobs are ordered."""
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _channels(text: str) -> dict[str, float]:
    try:
        return plan.read_channels(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
