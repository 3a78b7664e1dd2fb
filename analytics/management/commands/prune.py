"""`manage.py prune`: let go of what is old now, or see what would go."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from analytics import pruning
from delivery import clocks
from delivery.pruning import BATCH, PAUSE_S, Pace

SHORTEST_DAYS = 7


class Command(BaseCommand):
    help = (
        "Deletes and wipes what is kept no longer (docs/retention.md), as the sweep does. May be ended at any moment."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        days = settings.RAW_LOG_DAYS
        parser.add_argument("--dry-run", action="store_true", help="count what would go, and change nothing")
        parser.add_argument("--days", type=int, default=days, help=f"keep messages for so long; default {days}")
        parser.add_argument("--batch", type=int, default=BATCH, help=f"rows in one transaction; default {BATCH}")
        parser.add_argument("--pause", type=float, default=PAUSE_S, help=f"seconds after each; default {PAUSE_S}")

    def handle(self, *args: Any, **options: Any) -> None:
        days: int = options["days"]
        if days < SHORTEST_DAYS or options["batch"] < 1 or options["pause"] < 0:
            raise CommandError(f"--days must be {SHORTEST_DAYS} at least, --batch 1, --pause 0")
        now = clocks.db_now()
        if options["dry_run"]:
            gone, word = pruning.preview(now, days), "would go"
        else:
            pace = Pace(batch=options["batch"], pause_s=options["pause"])
            gone, word = pruning.prune(pace, now, days, say=self.stderr.write), "gone"
        for name, rows in sorted(gone.items(), key=lambda item: -item[1]):
            self.stdout.write(f"{rows:>12,} {name}")
        self.stdout.write(f"{gone.total():>12,} rows {word}")
