"""`manage.py erase_device`: take away all that is known of one device; the numbers stay."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from delivery import personal_data
from delivery.management.commands.export_device import device_or_refusal


class Command(BaseCommand):
    help = "Erases a device: what it is called, its owner, addresses, keys, reports, and what its messages said."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("device_id")
        parser.add_argument("--yes", action="store_true", help="it cannot be undone; without this nothing is done")

    def handle(self, *args: Any, **options: Any) -> None:
        device = device_or_refusal(options["device_id"])
        if not options["yes"]:
            raise CommandError(f"This cannot be undone. Add --yes to erase {device.device_id}; export_device first?")
        for name, rows in personal_data.erase(device, by="system").items():
            self.stdout.write(f"{rows:>8,} {name}")
        self.stdout.write("Erased. A device that is still in use registers again, as a new one: take its key first.")
