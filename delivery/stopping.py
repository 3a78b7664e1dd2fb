"""How a worker ends: it starts no send any more, gives back what it claimed and did not send, and is gone in time.

The parent is told (SIGTERM) and its pool processes must know: by one byte of memory that they share since the fork.
Where they are not forked (macOS) they do not learn it, and a batch goes on to the end of its budget.
"""

import logging
import mmap
import os
import threading

from django.conf import settings

log = logging.getLogger(__name__)

LIMIT_S = 38.0
BEYOND_A_TASK_S = 3.0

_told = mmap.mmap(-1, 1)


def tell() -> None:
    """This process and those that it forked start nothing more. May be called from a signal handler."""
    _told[0] = 1


def told() -> bool:
    return _told[0] == 1


def forget() -> None:
    """For a process that goes on after all, as a test's does."""
    _told[0] = 0


def limit_s() -> float:
    """How long a worker may take to end: every task that keeps its own limit is over by then."""
    return max(LIMIT_S, settings.TASK_LIMIT_S + BEYOND_A_TASK_S)


def end_within(seconds: float, status: int) -> None:
    """End this process then, whatever it hangs in: a lock, a database or a broker that does not answer.

    What a pool process holds at that moment is lost with it, like in a crash: its lease ends, and it is sent again.
    """
    timer = threading.Timer(seconds, _end, [seconds, status])
    timer.daemon = True
    timer.start()


def _end(seconds: float, status: int) -> None:
    log.error("did not end in time: ends now", extra={"waited_s": seconds})
    os._exit(status)
