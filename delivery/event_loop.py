"""The worker process's own event loop, in a thread of its own, and the providers that live on it.

It starts at the first send after the fork and stays between tasks, so that connections, tokens and keys survive from
batch to batch. The ORM is never touched from it.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop

from delivery import credentials
from delivery.providers import get_push_provider
from delivery.providers.base import ConfigError, Provider

log = logging.getLogger(__name__)

T = TypeVar("T")
START_S = 15.0

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_providers: dict[tuple[str, str], tuple[object, Provider]] = {}
_pid = 0


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine on the process's loop; returns at once."""
    return asyncio.run_coroutine_threadsafe(work, running_loop())


def running_loop() -> asyncio.AbstractEventLoop:
    """This process's loop, started if it is not there yet. A forked child gets one of its own."""
    global _loop, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = uvloop.new_event_loop(), os.getpid()
            _providers.clear()
            threading.Thread(target=_loop.run_forever, name="deliveries", daemon=True).start()
        return _loop


def provider_for(name: str, credential: str, config: dict[str, Any]) -> Provider:
    """The process's one instance for this credential, started; a new one where its settings or files changed.

    Where they changed into something that does not suffice, the one before goes on; `ConfigError` without one.
    """
    running_loop()
    state = credentials.fingerprint(config)
    before = _providers.get((name, credential))
    if before is not None and before[0] == state:
        return before[1]
    try:
        provider = get_push_provider(name, config)
    except ConfigError as error:
        if before is None:
            raise
        log.error(
            "credential not usable; the one before goes on",
            extra={"provider": name, "credential": credential, "why": str(error)},
        )
        _providers[name, credential] = (state, before[1])
        return before[1]
    submit(provider.start()).result(START_S)
    _providers[name, credential] = (state, provider)
    if before is not None:
        submit(before[1].aclose()).result(START_S)
    return provider


def close(grace_s: float = 10.0) -> None:
    """Close every provider of this process: the last thing before it ends."""
    if _loop is None or _pid != os.getpid():
        return
    while _providers:
        _, (_, provider) = _providers.popitem()
        submit(provider.aclose()).result(grace_s)
