"""Measure how fast the product is: `python -m bench [CASE ...]`; `list` names the cases, no name runs them all.

Every case runs three times on durable servers of its own; medians count. Writes `var/bench.json`. A speed is worth
reading only beside its limit from the same run: machines differ, and so does one machine from hour to hour. A case that
fails is an error in the table, the others go on, and we end with 1.
"""

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence

from bench import (
    acks,
    big_log,
    cost_model,
    fanout_million,
    growth,
    high_to_device,
    job_to_provider,
    order_to_device,
    urgent_during_bulk,
    worker_memory,
)
from bench.case import Case, Failed, Figures, Measured
from bench.progress import tell
from bench.stage import Stage
from tests import servers
from tests.processes import ROOT

log = logging.getLogger(__name__)

RUNS = 3
CASES = {
    case.name: case
    for case in (
        *(job_to_provider.case(provider) for provider in job_to_provider.ROWS),
        order_to_device.case(),
        acks.single(),
        acks.batch(),
        fanout_million.case(),
        urgent_during_bulk.case(),
        high_to_device.case(),
        worker_memory.case(),
        cost_model.case(),
        growth.log(),
        growth.processes(),
        *big_log.cases(),
    )
}


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE", help="`list` names them; default all")
    arguments.add_argument("--runs", type=int, default=RUNS, metavar="N", help=f"default {RUNS}")
    arguments.add_argument("--log-rows", type=int, default=10_000_000, metavar="N", help="of the large log")
    wanted = arguments.parse_args()
    if wanted.cases == ["list"]:
        print("\n".join(f"{case.name:<24} {case.sentence}" for case in CASES.values()))
        return 0
    if unknown := set(wanted.cases) - CASES.keys():
        arguments.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    rows = []
    for row in run([CASES[name] for name in wanted.cases] or list(CASES.values()), wanted.runs, wanted.log_rows):
        rows.append(row)
        print(*row.lines(), sep="\n", flush=True)
        write(rows)
    return 1 if any(isinstance(row, Failed) for row in rows) else 0


def run(cases: Sequence[Case], runs: int, log_rows: int) -> Iterator[Measured | Failed]:
    folder = servers.scratch_folder()
    try:
        with Stage(folder, log_rows) as stage:
            for case in cases:
                yield _measured(case, stage, runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(case: Case, stage: Stage, runs: int) -> Measured | Failed:
    try:
        return Measured(case, [_one(case, stage, number + 1, runs) for number in range(runs)])
    except Exception as error:
        log.exception("%s failed", case.name)
        return Failed(case, f"{type(error).__name__}: {error}".splitlines()[0])


def _one(case: Case, stage: Stage, number: int, of: int) -> Figures:
    figures = case.measure(stage)
    tell(f"{case.name} {number}/{of}: {figures.value:,.0f} {case.unit}")
    return figures


def write(rows: Sequence[Measured | Failed]) -> None:
    """After every row, so that what was measured is there even if the run is broken off."""
    (ROOT / "var").mkdir(exist_ok=True)
    (ROOT / "var" / "bench.json").write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
