"""What an agent does again and again, each on a thread of its own, woken early when there is something to do."""

import logging
import threading
from collections.abc import Callable

from homepot_agent.backoff import Backoff

log = logging.getLogger(__name__)

AFTER_BUG_S = 30.0
NOTHING_TO_DO_S = 3_600.0


class Loop:
    """Calls `step`, which returns in how many seconds it wants to be called again. `wake` calls it now.

    Not while `backoff` says to wait: then it is called as soon as that is over.
    """

    def __init__(self, name: str, step: Callable[[], float], backoff: Backoff | None = None) -> None:
        self._step = step
        self._backoff = backoff
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"homepot-{name}", daemon=True)

    def start(self) -> None:
        """A second time changes nothing."""
        if not self._thread.is_alive() and not self._stopping:
            self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def hurry(self) -> None:
        """Wake it although it failed just now: what was in the way is gone."""
        if self._backoff is not None:
            self._backoff.hurry()
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause_s = self._backoff.left_s() if self._backoff is not None else 0.0
            if not pause_s:
                pause_s = self._take_step()
            if not self._stopping:
                self._wake.wait(pause_s)

    def _take_step(self) -> float:
        try:
            return self._step()
        except Exception:
            log.exception("a bug in %s; it goes on in %g s", self._thread.name, AFTER_BUG_S)
            return AFTER_BUG_S
