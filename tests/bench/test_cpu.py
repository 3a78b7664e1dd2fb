"""What a part of the system has cost does not shrink when one of its processes ends."""

import subprocess
import sys

from bench import cpu

BURNS = "import time\nwhile time.process_time() < 0.3: pass"
LEADER = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURNS!r}], check=True)
print("ended", flush=True)
sys.stdin.read()
"""


def test_counts_a_process_that_ended_meanwhile() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == "ended\n"

        assert cpu.seconds({"part": leader.pid})["part"] >= 0.3
        leader.communicate("")
