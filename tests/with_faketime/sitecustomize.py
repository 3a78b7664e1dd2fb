"""Read by every Python that runs with libfaketime: version 0.9.10 fails the call by which `time.sleep` sleeps."""

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(seconds))


time.sleep = sleep
