"""A second real connection for races: a thread that runs what it is told, inside its own transaction."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from django.db import connection, transaction

T = TypeVar("T")


class Rival:
    """The other side of a race. It acts inside a transaction that stays open until `commit`."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._go = threading.Event()
        self._ended: Future[None] | None = None

    def does(self, act: Callable[[], T]) -> T:
        """Run `act` in an open transaction; returns what it gave, not yet committed."""
        acted: Future[T] = Future()

        def hold() -> None:
            try:
                with transaction.atomic():
                    try:
                        acted.set_result(act())
                    except BaseException as error:
                        acted.set_exception(error)
                        raise
                    assert self._go.wait(30), "nobody committed the rival"
            finally:
                connection.close()

        self._ended = self._pool.submit(hold)
        return acted.result(30)

    def commit(self) -> None:
        self._go.set()
        if self._ended is not None:
            self._ended.result(30)


@contextmanager
def rival() -> Iterator[Rival]:
    with ThreadPoolExecutor(1) as pool:
        other = Rival(pool)
        try:
            yield other
        finally:
            other.commit()


def started(act: Callable[[], T]) -> "Future[T]":
    """Run `act` on a connection of its own, in the background: it may have to wait for the rival."""
    pool = ThreadPoolExecutor(1)
    result = pool.submit(_then_close, act)
    pool.shutdown(wait=False)
    return result


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Run all acts at the same moment, each on a connection of its own."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        gate.wait(30)
        return _then_close(act)

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(60) for future in [pool.submit(run, act) for act in acts]]


def _then_close(act: Callable[[], T]) -> T:
    try:
        return act()
    finally:
        connection.close()
