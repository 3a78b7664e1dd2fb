"""The folder of cases is their registry."""

import subprocess

from tests.chaos.case import all_cases
from tests.journey.production import PYTHON
from tests.processes import ROOT


def test_each_case_is_named_after_its_file() -> None:
    files = {file.stem for file in (ROOT / "tests" / "chaos" / "cases").glob("*.py")} - {"__init__"}

    assert {name.replace("-", "_") for name in all_cases()} == files


def test_list_names_each_case_with_a_sentence() -> None:
    done = subprocess.run(
        [PYTHON, "-m", "tests.chaos", "list"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()] == [
        [case.name, case.sentence] for case in all_cases().values()
    ]


def test_an_unknown_case_is_refused_with_the_names_of_all() -> None:
    done = subprocess.run(
        [PYTHON, "-m", "tests.chaos", "nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert "no case nonsense" in done.stderr
    assert "redis-flush" in done.stderr
