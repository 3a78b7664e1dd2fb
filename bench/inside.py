"""Measure inside the product, on a database that is there: `python -m bench.inside NAME --url postgres://...`

Prints the figures as JSON. Which names there are: MODULES.
"""

import argparse
import importlib
import json
import os
import sys
import warnings
from dataclasses import asdict

import django

MODULES = {
    "expire": "inside_sweeps",
    "rollup_hour": "inside_sweeps",
    "push_health_24h": "inside_pages",
    "admin_list": "inside_pages",
    "pages": "inside_pages",
    "percentiles": "inside_percentiles",
    "lifecycle": "inside_lifecycle",
}
"""Where each is measured: `bench/MODULE.py`, in the function of that name."""


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.inside", description=__doc__)
    arguments.add_argument("name", choices=MODULES)
    arguments.add_argument("--url", required=True)
    given = arguments.parse_args()
    set_up(given.url)
    module = importlib.import_module(f"bench.{MODULES[given.name]}")
    print(json.dumps(asdict(getattr(module, given.name)())))
    return 0


def set_up(url: str) -> None:
    """Models can be imported only when Django knows its database."""
    os.environ.update(
        DJANGO_SETTINGS_MODULE="homepot.settings",
        DATABASE_URL=url,
        SECRET_KEY="only-for-measuring-" + "x" * 40,
        DEBUG="0",
        LOG_LEVEL="ERROR",
        STATEMENT_LIMIT_S="0",
        ALLOWED_HOSTS="testserver",
        CREDENTIALS_FILE="",
        CELERY_BROKER_URL="",
    )
    warnings.filterwarnings("ignore", "No directory at", UserWarning)  # static files are not measured
    django.setup()


if __name__ == "__main__":
    sys.exit(main())
