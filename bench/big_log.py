"""How the product fares with a log of 10 million rows: what sweeps it, counts it and shows it.

All cases of a run share one database, which log_rows.py writes for the first of them. Each is measured inside the
product, in a process of its own (inside.py), by its own verbs, tasks and views.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable

from bench.case import Case, Figures
from bench.stage import Stage
from tests.processes import ROOT


def cases() -> list[Case]:
    return [
        _case(
            "expire", "100,000 messages of the large log run out of time, and the sweep ends them",
            peer="row by row through the ORM", limit="one bare UPDATE of as many rows",
        ),
        _case(
            "rollup_hour", "an hour of 250,000 messages in the large log is counted anew",
            peer="row by row in Python", limit="a bare count and sum of these rows by site and provider",
        ),
        _case(
            "push_health_24h", "the first page, 24 hours of 200 sites, after the present hour was counted again",
            peer="the same sums from the messages themselves", limit="the sums of the rollups alone, in SQL",
        ),
        _case(
            "admin_list", "the first page of the list of messages", peer="Django's own list, which counts all rows",
            limit="its rows alone, in SQL",
        ),
        _case("pages", "the slowest of all pages and endpoints that show the large log", limit="its first time"),
        _case("percentiles", "how far percentiles from histograms are from exact ones, at worst", unit="%",
              limit="the promise"),
        Case(
            name="log_lifecycle",
            sentence="messages inserted, claimed, sent and delivered with receipts, by the verbs of the log",
            unit="msg/s",
            peer="row by row through the ORM",
            limit="COPY of as many bare rows",
            measure=lambda stage: _inside("lifecycle", stage.kept_database("lifecycle", _migrated)),
        ),
    ]  # fmt: skip


def _case(name: str, sentence: str, *, limit: str, peer: str | None = None, unit: str = "ms") -> Case:
    return Case(
        name=name, sentence=sentence, unit=unit, peer=peer, limit=limit, less_is_better=True, measure=_measure(name)
    )


def _measure(name: str) -> Callable[[Stage], Figures]:
    return lambda stage: _inside(name, stage.kept_database("large_log", lambda url: _fill(url, stage.log_rows)))


def _fill(url: str, rows: int) -> None:
    _run("bench.log_rows", "--rows", str(rows), "--url", url)


def _migrated(url: str) -> None:
    _run("bench.log_rows", "--rows", "0", "--url", url)


def _inside(name: str, url: str) -> Figures:
    return Figures(**json.loads(_run("bench.inside", name, "--url", url)))


def _run(module: str, *arguments: str) -> str:
    """What it prints; its progress goes where ours does."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ, check=True, stdout=subprocess.PIPE, text=True).stdout
