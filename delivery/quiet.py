"""Leaves a server that failed alone for a while: whoever calls it can do without it, and must not wait for it."""

import threading
import time


class Quiet:
    """One for each server and process. After a failure nobody asks for `seconds`, then one caller at a time tries."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._failing = False
        self._until_s = 0.0

    def may_ask(self) -> bool:
        """False: do without it. Whoever is let in says afterwards how it went."""
        if not self._failing:
            return True
        with self._lock:
            now_s = time.monotonic()
            if self._failing and now_s < self._until_s:
                return False
            self._until_s = now_s + self._seconds
            return True

    def failed(self) -> None:
        with self._lock:
            self._failing = True
            self._until_s = time.monotonic() + self._seconds

    def worked(self) -> None:
        self._failing = False
