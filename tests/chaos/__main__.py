"""Prove that nothing is lost: `python -m tests.chaos [CASE ...] [--messages N]`.

Starts everything that a message passes, as in production, orders messages for simulated devices on five providers,
injects one fault, and compares what became of them in the record, at the devices and at the push services. One line
for each case; the exit status is 1 if one failed. `list` names the cases, no name runs them all.
"""

import argparse
import shutil
import sys

from tests import servers
from tests.chaos.case import Case, all_cases
from tests.chaos.judge import Verdict, judge
from tests.chaos.rig import Rig, say


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE", help="`list` names them; default all")
    arguments.add_argument("--messages", type=int, default=10_000, metavar="N", help="for each case; default 10000")
    arguments.add_argument("--keep", action="store_true", help="keep the logs of good cases, too")
    wanted = arguments.parse_args()
    known = all_cases()
    if wanted.cases == ["list"]:
        print("\n".join(f"{case.name:<18} {case.sentence}" for case in known.values()))
        return 0
    if unknown := set(wanted.cases) - known.keys():
        arguments.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in wanted.cases] or list(known.values())
    verdicts = [run(case, wanted.messages, keep=wanted.keep) for case in chosen]
    return 0 if all(verdict.good for verdict in verdicts) else 1


def run(case: Case, messages: int, *, keep: bool) -> Verdict:
    """A case on a rig of its own. Its folder, with every log, outlives a failure."""
    folder = servers.scratch_folder()
    say(f"{case.name}: {case.sentence}")
    good = False
    try:
        with Rig(folder, devices=case.messages or messages, settings=case.settings) as rig:
            verdict = judge(case, rig, messages)
        good = verdict.good
    finally:
        if good and not keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"logs: {folder}")
    for problem in verdict.problems:
        say(f"{case.name}: {problem}")
    print(verdict.line, flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
