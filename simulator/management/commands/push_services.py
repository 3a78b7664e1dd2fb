"""`manage.py push_services`: FCM, APNs, WNS and Web Push on this machine."""

import json
from pathlib import Path
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser

from simulator.services.together import serve


class Command(BaseCommand):
    help = "Run the emulated push services until SIGTERM. The first line of output is their addresses, as JSON."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port-base", type=int, default=0, help="first of six ports; 0 takes free ones")
        parser.add_argument(
            "--ca-dir",
            type=Path,
            default=Path("var/push-services"),
            help="keeps the throw-away CA, the credentials and addresses.json (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            uvloop.run(serve(home=options["ca_dir"], port_base=options["port_base"], announce=self._announce))
        except OSError as problem:
            raise CommandError(f"cannot listen: {problem}") from problem

    def _announce(self, addresses: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(addresses))
        self.stdout.flush()
