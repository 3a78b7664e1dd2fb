"""Named places where a process can be told to die, so that a test can show that nothing is lost there.

`CRASH_AT=after_claim` ends the process with SIGKILL where it passes that place; with `after_claim:3` the third time.
Unset, as in production, passing a place is a call of an empty function.
"""

import itertools
import os
import signal
from collections.abc import Callable
from typing import Literal, get_args

Place = Literal[
    "before_hint",
    "before_chunk_commit",
    "after_chunk_commit",
    "after_claim",
    "after_request",
    "after_answer",
    "before_outcome_commit",
    "after_outcome_commit",
    "before_ack_commit",
    "after_ack_commit",
    "before_inbox_commit",
    "after_inbox_commit",
    "after_sweep_chunk",
]
"""In the order of a message's way; what each one is: docs/testing.md."""

PLACES: tuple[str, ...] = get_args(Place)


def _go_on(_place: Place) -> None:
    return


passing: Callable[[Place], None] = _go_on
"""Say where this process is."""


def arm(crash_at: str) -> None:
    """From now on die at this place, the nth time that it is passed; at none where empty. `ValueError` lists them."""
    global passing
    passing = _go_on
    if not crash_at:
        return
    name, colon, times = crash_at.partition(":")
    if name not in PLACES:
        raise ValueError(f"'{name[:50]}' is none of {', '.join(PLACES)}")
    if colon and not (times.isascii() and times.isdigit() and int(times) > 0):
        raise ValueError(f"'{times[:50]}' is no number of times: write {name}:3 for the third")
    fatal, passed = int(times or 1), itertools.count(1)

    def die_there(place: Place) -> None:
        if place == name and next(passed) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    passing = die_there
