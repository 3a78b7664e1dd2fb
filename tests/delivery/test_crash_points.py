"""A place to die at is named in the environment, passed somewhere in the code, and explained in docs/testing.md."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from delivery import crash_points
from tests.processes import ROOT

PASSED = re.compile(r'crash_points\.passing\("(\w+)"\)')


@pytest.fixture
def disarmed() -> Iterator[None]:
    yield
    crash_points.arm("")


def run_past(crash_at: str, place: str, times: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process with these settings that passes a place so many times, and says when it came back from each."""
    script = (
        "import homepot.settings; from delivery import crash_points\n"
        f"for _ in range({times}): crash_points.passing({place!r}); print('passed', flush=True)"
    )
    env = {"SECRET_KEY": "only-for-tests-" + "x" * 40, "ALLOW_SIMULATION": "1", "CRASH_AT": crash_at, **variables}
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True)


def test_a_process_dies_at_the_place_that_its_environment_names() -> None:
    ended = run_past("after_claim", "after_claim", 1)

    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "")


def test_a_process_dies_the_nth_time() -> None:
    ended = run_past("after_claim:3", "after_claim", 5)

    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "passed\npassed\n")


@pytest.mark.parametrize(("crash_at", "place"), [("", "after_claim"), ("after_claim", "after_answer")])
def test_a_process_lives_on_elsewhere(crash_at: str, place: str) -> None:
    ended = run_past(crash_at, place, 1)

    assert (ended.returncode, ended.stdout) == (0, "passed\n")


@pytest.mark.parametrize(
    ("crash_at", "why"),
    [
        ("after_lunch", "'after_lunch' is none of before_hint, "),
        ("after_claim:0", "'0' is no number of times"),
        ("after_claim:soon", "'soon' is no number of times"),
        ("after_claim:", "'' is no number of times"),
    ],
)
def test_what_is_no_place_stops_the_process_at_its_start(crash_at: str, why: str) -> None:
    ended = run_past(crash_at, "after_claim", 1)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Setting CRASH_AT is not usable: {why}")


def test_a_production_server_is_not_told_to_die() -> None:
    ended = run_past("after_claim", "after_claim", 1, ALLOW_SIMULATION="0")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "CRASH_AT" in ended.stderr


def test_unset_again_it_kills_nobody(disarmed: None) -> None:
    crash_points.arm("after_claim")
    crash_points.arm("")

    crash_points.passing("after_claim")


def test_every_place_is_passed_somewhere_in_the_code() -> None:
    files = (ROOT / "delivery").rglob("*.py")

    passed = {place for file in files for place in PASSED.findall(file.read_text(encoding="utf-8"))}

    assert passed == set(crash_points.PLACES)


def test_every_place_is_explained() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", (ROOT / "docs/testing.md").read_text(encoding="utf-8"), re.M)

    explained = [place for row in rows for place in re.findall(r"\w+", row)]

    assert explained == list(crash_points.PLACES)
