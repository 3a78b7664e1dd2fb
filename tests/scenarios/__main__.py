"""Compare verdicts with what was injected: `python -m tests.scenarios`, or `make scenarios`.

Starts everything that a message passes, does known things to it, and prints what the product made of each: injected
causes down, verdicts across. Writes var/scenarios.json. The exit status is 1 where a scenario has under 500 messages
to compare, under 99 % right, or one that is called by another cause instead of `unknown`.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from tests import servers
from tests.chaos.rig import say, since
from tests.processes import ROOT
from tests.scenarios import clocks, confusion
from tests.scenarios.confusion import NONE, Result
from tests.scenarios.scenes import SCENES, play
from tests.scenarios.stage import Stage, rig, write_troubles

REPORT = ROOT / "var" / "scenarios.json"
CLOCK_JOBS = 6


def main() -> int:
    began = time.monotonic()
    folder = servers.scratch_folder()
    good = False
    try:
        results = _results(folder)
        good = not any(result.problems for result in results)
    finally:
        if good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"logs: {folder}")
    _report(results, began)
    return 0 if good else 1


def _results(folder: Path) -> list[Result]:
    trouble_file = folder / "troubles.json"
    write_troubles(trouble_file, {})
    with rig(folder, trouble_file) as whole:
        stage = Stage(whole, trouble_file)
        off = clocks.script(
            [till.device_id for till in stage.at(clocks.ALL_OFF)], stage.at(clocks.ONE_OFF)[0].device_id
        )
        stage.trouble(clocks=off)
        acts = [(scene, play(scene, stage)) for scene in SCENES]
        drift = _drift(stage, off)
        results = []
        for scene, act in acts:
            say(f"{scene.name}: waiting for its verdicts")
            stage.wait_until_over(act.job_ids)
            stage.wait_until_judged(act.job_ids, second_look=scene.about_presence)
            results.append(confusion.compare(scene.name, scene.cause, stage.judged(act.job_ids, act.hurt)))
        return [*results, drift]


def _drift(stage: Stage, off: dict[str, object]) -> Result:
    """Everything is delivered: no verdict is right, and the latency is as it was."""
    say("drifting clocks: a site whose tills are up to three minutes off, and one with one such till")
    whole, one = stage.at(clocks.ALL_OFF), stage.at(clocks.ONE_OFF)
    job_ids = stage.order([*whole, *one], CLOCK_JOBS)
    stage.wait_until_over(job_ids)
    stage.wait_until_judged(job_ids, second_look=False)
    figures = {
        "site_with_all_off": clocks.p95_moved(stage, job_ids, whole, off),
        "site_with_one_off": clocks.p95_moved(stage, job_ids, one, off),
    }
    moved = figures["site_with_one_off"]["moved"]
    problems = [f"one till moves its site's p95 by {moved:.1%}"] if moved > clocks.MOST_MOVED else []
    return confusion.compare("drifting clocks", NONE, stage.judged(job_ids, whole), figures, problems)


def _report(results: list[Result], began: float) -> None:
    print(confusion.matrix(results), end="\n\n")
    for result in results:
        share = result.right / max(1, result.compared)
        counts = f"{result.compared} compared, {result.right} right ({share:.1%}), {result.unknown} unknown"
        print(f"{result.name:<20} {counts}, {result.wrong} wrong {result.figures or ''}")
        for problem in result.problems:
            print(f"{result.name:<20} PROBLEM: {problem}")
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({result.name: result.to_json() for result in results}, indent=2) + "\n")
    print(f"{REPORT.relative_to(ROOT)} written after {since(began)}")


if __name__ == "__main__":
    sys.exit(main())
