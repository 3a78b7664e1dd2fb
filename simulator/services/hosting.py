"""A service in a thread of its own, for tests that are not asynchronous."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import uvloop

START_S = 10


class Hosted(Protocol):
    """One service, or all of them together."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


S = TypeVar("S", bound=Hosted)


@contextmanager
def running(service: S) -> Iterator[S]:
    """The service, started; it stops at the end of the block. Its script may be changed from the caller's thread."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=type(service).__name__, daemon=True)
    thread.start()
    try:
        _await(loop, service.start())
        try:
            yield service
        finally:
            _await(loop, service.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_S)
        loop.close()


def _await(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(work, loop).result(START_S)
