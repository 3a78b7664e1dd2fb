"""A wrong clock for a child process, real to everything in it: libfaketime, preloaded.

Only the time of day is wrong: the steady clock, by which a machine measures waits, stays right as on such a machine.
"""

from pathlib import Path

LIBRARIES = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")
SITE = Path(__file__).resolve().parent / "with_faketime"
MISSING = "libfaketime is missing (Debian: apt-get install faketime)"


def library() -> Path | None:
    """Where Debian and its relatives, or Fedora, put it."""
    return next((found for pattern in LIBRARIES for found in sorted(Path("/").glob(pattern))), None)


def off_by(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is ahead by so much, or behind."""
    return {**_preloaded(), "FAKETIME": f"{seconds:+d}"}


def off_as_told_by(file: Path) -> dict[str, str]:
    """The same, as the file says at any moment: `+600` or `-600`."""
    return {**_preloaded(), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_CACHE_DURATION": "1"}


def _preloaded() -> dict[str, str]:
    found = library()
    assert found is not None, MISSING
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(SITE),
        "NO_FAKE_STAT": "1",
    }
