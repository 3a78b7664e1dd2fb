"""`manage.py export_device`: all that is known of one device, as JSON."""

import json
import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from delivery import personal_data
from delivery.models import AuditLog, Device


class Command(BaseCommand):
    help = "Writes all that is known of a device as JSON, addresses included and keys left out (docs/retention.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("device_id")
        parser.add_argument("--output", metavar="FILE", help="a new file that only you can read; else standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        device = device_or_refusal(options["device_id"])
        text = json.dumps(personal_data.export(device), cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
        AuditLog.note("system", "exported", device, device.device_id)
        if options["output"] is None:
            self.stdout.write(text)
            return
        try:
            private = os.open(options["output"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}") from None
        with open(private, "w", encoding="utf-8") as file:
            file.write(text + "\n")


def device_or_refusal(device_id: str) -> Device:
    device = Device.objects.filter(device_id=device_id).first()
    if device is None:
        raise CommandError(f"There is no device {device_id}")
    return device
