"""`manage.py demo`: sites, a superuser and keys to try the product with. Again, it keeps what is there."""

import secrets
from pathlib import Path
from random import Random
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from analytics import judging, rollups
from delivery import clocks
from delivery.models import ApiKey, Device, Site
from delivery.models.api_key import SCOPES
from delivery.models.keys import key_hash, new_key
from homepot.brokers import write_private
from simulator import history as past
from simulator.fleet.plan import site_name

NAME = "demo"
SEED = 20261121
RESTAURANTS = (
    ("Brasserie am Markt", "Europe/Berlin"),
    ("The Copper Kettle", "Europe/London"),
    ("Trattoria Bellavista", "Europe/Rome"),
    ("Harbour Fish Bar", "Europe/Dublin"),
    ("Le Petit Zinc", "Europe/Paris"),
    ("Blue Door Diner", "America/New_York"),
    ("Taquería La Paloma", "America/Mexico_City"),
    ("Kumo Ramen", "Asia/Tokyo"),
    ("Spice Garden", "Asia/Kolkata"),
    ("Bondi Burger Co.", "Australia/Sydney"),
    ("Café Morgenrot", "Europe/Vienna"),
    ("Casa do Fado", "Europe/Lisbon"),
    ("Smokehouse 54", "America/Chicago"),
    ("Golden Gate Dumplings", "America/Los_Angeles"),
    ("Himalaya Momo House", "Asia/Kathmandu"),
    ("Nordlys Kantine", "Europe/Oslo"),
)


class Command(BaseCommand):
    help = (
        "Demo sites site-001 ... with one bootstrap key, the superuser `admin`, and an API key with all scopes. Keys "
        "and password are in var/, for their owner alone; what is there already is kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sites", type=int, default=10, metavar="N", help="default 10")
        parser.add_argument(
            "--history", type=int, default=0, metavar="HOURS", help="write what happened in the last hours; default 0"
        )
        parser.add_argument("--var", type=Path, default=settings.BASE_DIR / "var", metavar="FOLDER", help="default var")

    @transaction.atomic
    def handle(self, *_: object, sites: int, var: Path, history: int, **__: Any) -> None:
        var.mkdir(parents=True, exist_ok=True)
        made = make_sites(sites, kept_secret(var / "bootstrap-key", new_key("hpb")))
        make_admin(kept_secret(var / "admin-password", secrets.token_urlsafe(18)))
        make_api_key(var / "api-key")
        self.stdout.write(f"{sites} demo sites ({made} new); the keys and the password are in {var}")
        if history:
            self.stdout.write(f"{make_history(sites, history)} messages of the last {history} hours")


def make_history(sites: int, hours: int) -> int:
    """A scripted day in an empty log, judged and summed; 0 where there are messages."""
    demo_sites = Site.objects.filter(site_id__in=[site_name(number + 1) for number in range(sites)])
    written = past.write(list(demo_sites.order_by("site_id")), clocks.db_now(), hours, Random(SEED))
    if written:
        judging.judge_ripe()
        past.take_away(Device.objects.filter(site__in=demo_sites))
        rollups.roll_up()
    return written


def kept_secret(file: Path, fresh: str) -> str:
    """What the file holds; `fresh`, written to it, where it holds nothing."""
    kept = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    return kept or write_secret(file, fresh)


def write_secret(file: Path, secret: str) -> str:
    write_private(file, secret + "\n")
    return secret


def make_sites(count: int, bootstrap_key: str) -> int:
    """The first `count` demo sites exist and take this bootstrap key; their names are kept. Returns the new ones."""
    made = 0
    for number in range(count):
        name, timezone = RESTAURANTS[number % len(RESTAURANTS)]
        branch = number // len(RESTAURANTS)
        _, new = Site.objects.get_or_create(
            site_id=site_name(number + 1),
            defaults={"name": f"{name} {branch + 1}" if branch else name, "timezone": timezone},
        )
        made += new
    site_ids = [site_name(number + 1) for number in range(count)]
    Site.objects.filter(site_id__in=site_ids).update(bootstrap_key_hash=key_hash(bootstrap_key))
    return made


def make_admin(password: str) -> None:
    """`admin` exists, is a superuser and has this password."""
    admin, new = get_user_model().objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    if new or not admin.check_password(password):
        admin.set_password(password)
        admin.save()


def make_api_key(file: Path) -> None:
    """The file holds a valid key with all scopes; one that the database does not know (any more) is replaced."""
    kept = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    if kept and ApiKey.objects.valid().filter(key_hash=key_hash(kept)).exists():
        return
    ApiKey.objects.filter(name=NAME).delete()
    write_secret(file, ApiKey.objects.issue(NAME, list(SCOPES)))
