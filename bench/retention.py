"""How to let go of what is old: batches of deletes, or a partition for each day? `python -m bench.retention`.

Fills a month of the log, then measures in one run: to remove a day, both ways (seconds, WAL); the life of messages
(claim, sent, acked by message_id) on the plain table, on one with a partition for each day, and while a day is removed;
and how large the table is after each of three rounds in which a third of it was removed and filled anew. Needs about
10 GB in the scratch folder and 10 to 20 minutes.
"""

import argparse
import importlib
import os
import shutil
import sys
import warnings

import django
from django.core.management import call_command

from tests import servers

POSTGRES_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB", "autovacuum_naptime": "1s"}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.retention", description=__doc__)
    arguments.add_argument("--days", type=int, default=30, help="of the log, and partitions; default 30")
    arguments.add_argument("--rows", type=int, default=70_000, help="messages a day; default 70000")
    arguments.add_argument("--live", type=int, default=20_000, help="messages whose life is measured; default 20000")
    chosen = arguments.parse_args()
    folder = servers.scratch_folder()
    try:
        with servers.Postgres(folder, durable=True, settings=POSTGRES_SETTINGS) as postgres:
            setup(postgres.url)
            scenes = importlib.import_module("bench.retention_scenes")
            scenes.play(scenes.Size(chosen.days, chosen.rows, chosen.live))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def setup(database_url: str) -> None:
    """The scenes import models, which is possible only when Django knows its database."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="homepot.settings",
        SECRET_KEY="only-for-this-measurement-" + "x" * 40,
        DEBUG="0",
        LOG_LEVEL="ERROR",
        DATABASE_URL=database_url,
        STATEMENT_LIMIT_S="0",
    )
    warnings.filterwarnings("ignore", "No directory at", UserWarning)  # static files are not shown here
    django.setup()
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
