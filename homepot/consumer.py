"""The ears of a worker: a consumer that is connected and takes nothing is started again, in the end with its process.

Celery on Redis can come out of a broken connection like that, and so can a worker whose operator called
`cancel_consumer`. Every few seconds a thread of the worker's parent looks, over connections of its own, whether hints
lie in the worker's queues that nobody takes. Where rows are overdue and no hint lies there (beat may be down), it gives
one, which wakes whoever listens and unmasks who does not.
"""

import logging
import threading
import time
from typing import Any

from celery import bootsteps
from celery.signals import task_received
from celery.worker import state
from django.conf import settings
from django.db import DatabaseError, connection
from prometheus_client import Counter

from delivery import clocks, hints, stopping, watchdog
from delivery.models import Alert

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
BUSY_S = 300.0
"""A worker whose tasks run for longer than this without taking another is stuck in them."""
RESTARTS = 2
"""A consumer that is deaf after so many restarts takes its process with it; the process manager starts another."""
DEAF = "worker_deaf"

STARTED_AGAIN = Counter("homepot_consumer_restarts", "Consumers that took no hints and were started again", ["worker"])


class Watchdog(bootsteps.StartStopStep):
    """Lives in the worker's parent, beside the consumer."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._worker = worker
        self._queues: list[str] = []
        self._taken_at: dict[str, float] = {}
        self._waits_since: dict[str, float] = {}
        self._restarts = 0
        self._alerted = True
        self._stopped = threading.Event()

    def start(self, worker: Any) -> None:
        self._queues = list(worker.app.amqp.queues.consume_from)
        task_received.connect(self._taken, weak=False)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self, worker: Any) -> None:
        self._stopped.set()

    def _taken(self, request: Any, **_: object) -> None:
        self._taken_at[request.delivery_info["routing_key"]] = time.monotonic()
        self._restarts = 0

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                self._look()
            except DatabaseError as error:
                log.warning("database away", extra={"why": type(error).__name__})
            except Exception:
                log.exception("the watchdog could not look")
            finally:
                connection.close()  # what the pool's next process inherits must be nothing

    def _look(self) -> None:
        waiting = {queue: hints.waiting(queue) for queue in self._queues}
        deaf = [queue for queue, count in waiting.items() if self._is_deaf(queue, count)]
        if deaf:
            self._start_again(deaf)
            return
        self._is_well()
        late = watchdog.overdue(clocks.db_now()) if 0 in waiting.values() else {}
        for queue in late:
            if waiting.get(queue) == 0:
                hints.wake(queue)

    def _is_deaf(self, queue: str, count: int | None) -> bool:
        """Hints lie there, and for long none was taken. Where the broker is away, nobody can tell."""
        now = time.monotonic()
        if not count:
            self._waits_since.pop(queue, None)
            return False
        since = max(self._waits_since.setdefault(queue, now), self._taken_at.get(queue, 0.0))
        return now - since > (BUSY_S if state.reserved_requests else settings.STALLED_AFTER_S)

    def _start_again(self, queues: list[str]) -> None:
        self._waits_since.clear()
        self._restarts += 1
        self._alerted = True
        STARTED_AGAIN.labels(self._worker.hostname).inc()
        last = self._restarts > RESTARTS
        facts = {"worker": self._worker.hostname, "queues": ", ".join(queues), "times": self._restarts}
        if last:
            log.error("worker is deaf after restarts of its consumer: it ends", extra=facts)
            stopping.tell()
            stopping.end_within(stopping.limit_s(), 1)
            state.should_stop = 1  # type: ignore[assignment]  # the exit status, once there is one
        else:
            log.error("hints wait and nobody takes them: the consumer starts again", extra=facts)
            self._worker.consumer.call_soon(self._break_connection)
        text = f"took no hints from {', '.join(queues)}; " + ("the process ended" if last else "started again")
        Alert.objects.open_or_repeat(DEAF, self._worker.hostname, text, clocks.db_now())

    def _break_connection(self) -> None:
        """On the consumer's own loop, which then connects anew as after any other loss, to the queues that it began
        with."""
        queues = self._worker.app.amqp.queues
        for queue in self._queues:
            queues.select_add(queues[queue])
        raise ConnectionResetError("the watchdog ended a connection over which no hints came")

    def _is_well(self) -> None:
        if self._alerted and not self._restarts:
            Alert.objects.close(DEAF, self._worker.hostname, clocks.db_now())
            self._alerted = False
