"""Show what our own mistakes and the services' moods cost: `python -m bench.show_providers [SCENE ...]`.

The product's providers send in this process, batch by batch as a worker would, through the emulated services, with
private PostgreSQL and Redis servers. Each scene prints one line, whose numbers come from the services' own counts and
from the record. The exit status is 1 if a scene did not end as it must.
"""

import argparse
import importlib
import os
import shutil
import sys
import warnings
from pathlib import Path

import django
from django.core.management import call_command

from tests import servers

SCENES = ("large", "refused", "environment", "gone", "goaway", "inward")


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.show_providers", description=__doc__)
    arguments.add_argument("scenes", nargs="*", metavar="SCENE", help=f"of {', '.join(SCENES)}; default all")
    chosen = arguments.parse_args().scenes or list(SCENES)
    if unknown := set(chosen) - set(SCENES):
        arguments.error(f"no such scene: {', '.join(sorted(unknown))}")
    folder = servers.scratch_folder()
    try:
        with servers.Postgres(folder) as postgres, servers.Redis(folder) as redis:
            return show(chosen, folder, postgres.url, redis)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(chosen: list[str], folder: Path, database_url: str, redis: servers.Redis) -> int:
    """The scenes import models, which is possible only when Django knows its database."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="homepot.settings",
        SECRET_KEY="only-for-this-demonstration-" + "x" * 40,
        DEBUG="0",
        LOG_LEVEL="ERROR",
        ALLOWED_HOSTS="testserver",
        DATABASE_URL=database_url,
        CELERY_BROKER_URL=redis.url,
        CACHE_URL=redis.url_of(1),
        CREDENTIALS_FILE="",
        ALLOW_SIMULATION="0",
        RETRY_BASE_S="0.2",
    )
    warnings.filterwarnings("ignore", "No directory at", UserWarning)  # static files are not shown here
    django.setup()
    call_command("migrate", verbosity=0)
    scenes = importlib.import_module("bench.provider_scenes")
    results = [scenes.play(name, folder) for name in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
