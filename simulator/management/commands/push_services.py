"""`manage.py push_services`: FCM, APNs, WNS and Web Push on this machine."""

import argparse
import json
from pathlib import Path
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser

from simulator.services.together import ANY_PORTS, serve


class Command(BaseCommand):
    help = "Run the emulated push services until SIGTERM. The first line of output is their addresses, as JSON."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--ports",
            type=_ports,
            default=ANY_PORTS,
            metavar="N,...",
            help="seven: fcm, apns, wns, web_push, control, devices, browsers; default: free ones",
        )
        parser.add_argument(
            "--ca-dir",
            type=Path,
            default=Path("var/push-services"),
            help="keeps the throw-away CA, the credentials and addresses.json (default: %(default)s)",
        )

        parser.add_argument(
            "--credentials",
            type=Path,
            metavar="FILE",
            help="write the CREDENTIALS_FILE there with which the product sends through these services",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            uvloop.run(
                serve(
                    home=options["ca_dir"].resolve(),
                    ports=options["ports"],
                    credentials_file=options["credentials"],
                    announce=self._announce,
                )
            )
        except OSError as problem:
            raise CommandError(f"cannot listen: {problem}") from problem

    def _announce(self, addresses: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(addresses))
        self.stdout.flush()


def _ports(text: str) -> list[int]:
    ports = [int(port) for port in text.split(",")]
    if len(ports) != len(ANY_PORTS):
        raise argparse.ArgumentTypeError(f"must be {len(ANY_PORTS)} ports")
    return ports
