"""`manage.py verify_rollups`: whether the hourly numbers are what the raw rows say."""

import time
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.db.models import Max, Min

from analytics import recount, rollups
from analytics.models import HourlyRollup, RollupState
from delivery import clocks
from delivery.models import DeliveryAttempt, PushNotificationLog

Numbers = dict[recount.Key, dict[str, Any]]
TRIES = 3
"""An hour that differs is rolled up once more: what came since it was counted is no difference."""
PROGRESS_EVERY_S = 2.0


class Command(BaseCommand):
    help = "Counts every hour again, row by row, and prints where a rollup differs. Exit code 1 if any does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--hours", type=int, help="only the last so many; all of them if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        rollups.roll_up()
        hours = _hours(options["hours"])
        last_sent = recount.last_sent()
        differing = 0
        told_s = time.monotonic()
        for number, hour in enumerate(hours, 1):
            differences = compare(hour, last_sent)
            differing += bool(differences)
            for line in differences:
                self.stdout.write(line)
            if time.monotonic() - told_s > PROGRESS_EVERY_S or number == len(hours):
                told_s = time.monotonic()
                self.stderr.write(f"{number} of {len(hours)} hours, {differing} of them differ")
        if differing:
            raise CommandError(f"{differing} of {len(hours)} hours differ from their raw rows", returncode=1)
        self.stdout.write(f"{len(hours)} hours equal their raw rows")


def compare(hour: datetime, last_sent: Mapping[datetime, datetime]) -> list[str]:
    """A line for each number that differs, after the hour had its chance to be counted again."""
    lines = _differences(hour, last_sent)
    for _ in range(TRIES - 1):
        if not lines:
            break
        rollups.roll_up()
        lines = _differences(hour, recount.last_sent())
    return lines


def _differences(hour: datetime, last_sent: Mapping[datetime, datetime]) -> list[str]:
    stored, counted = _at_one_moment(hour, last_sent)
    lines = []
    for site_id, provider in sorted(stored.keys() | counted.keys(), key=str):
        says, is_ = stored.get((site_id, provider), {}), counted.get((site_id, provider), {})
        lines += [
            f"{hour:%Y-%m-%d %H}h {site_id or 'no site'} {provider} {name}: "
            f"rollup {says.get(name)}, raw rows {is_.get(name)}"
            for name in recount.FIELDS
            if (says.get(name) or None) != (is_.get(name) or None)
        ]
    return lines


def _at_one_moment(hour: datetime, last_sent: Mapping[datetime, datetime]) -> tuple[Numbers, Numbers]:
    """The rollups and the recount of one snapshot: what is committed meanwhile is in neither."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return recount.as_stored(hour), recount.of_hour(hour, last_sent)


def _hours(last: int | None) -> list[datetime]:
    """From the first hour that holds anything to the present one, or the last so many of them.

    Sealed hours are left out: the raw rows that they were counted from may be gone.
    """
    end = rollups.hour_of(clocks.db_now())
    moments = [
        PushNotificationLog.objects.aggregate(first=Min("created_at"))["first"],
        DeliveryAttempt.objects.aggregate(first=Min("started_at"))["first"],
        HourlyRollup.objects.aggregate(first=Min("hour"))["first"],
    ]
    known = [moment for moment in moments if moment is not None]
    if not known:
        return []
    latest = HourlyRollup.objects.aggregate(last=Max("hour"))["last"] or end
    first = rollups.hour_of(min(known))
    if last is not None:
        first = max(first, end - timedelta(hours=last - 1))
    sealed = set(RollupState.objects.sealed().values_list("hour", flat=True))
    return [hour for hour in rollups.hours_between(first, max(end, latest)) if hour not in sealed]
