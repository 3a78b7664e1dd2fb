"""A worker that is told to end: its pool processes know, and it is gone in time."""

import os
import subprocess
import sys

from pytest_django import Settings

from delivery import stopping

HANGS = """
import time
from delivery import stopping
stopping.end_within(0.2, 3)
time.sleep(60)
"""


def test_a_process_that_hangs_is_gone_in_time() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], timeout=30)

    assert done.returncode == 3


def test_what_was_forked_before_learns_it() -> None:
    told, waits = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(told, 1)
        os._exit(7 if stopping.told() else 8)

    stopping.tell()
    os.write(waits, b"!")

    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        stopping.forget()
        os.close(told)
        os.close(waits)


def test_longer_tasks_are_given_longer(settings: Settings) -> None:
    settings.TASK_LIMIT_S = 35
    usual_s = stopping.limit_s()
    settings.TASK_LIMIT_S = 100
    longer_s = stopping.limit_s()

    assert (usual_s, longer_s) == (38.0, 103.0)
