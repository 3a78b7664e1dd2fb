"""How a peer is asked: a question as JSON on standard input, how long it took as JSON on standard output."""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Question:
    url: str
    """Of the stub."""
    credential: dict[str, Any]
    """The settings with which the product sends to it."""
    warm_up: int
    """So many messages before the clock starts: connections, tokens and caches as they are later on."""
    messages: int
    window: int
    """How many messages may be on their way together, where the peer can have more than one."""
    title: str
    body: str
    data: dict[str, str]
    """The flat keys that the product's own message carries."""
    addresses: list[str]

    @classmethod
    def read(cls) -> Self:
        return cls(**json.load(sys.stdin))

    def address(self, number: int) -> str:
        return self.addresses[number % len(self.addresses)]

    def payload(self) -> str:
        return json.dumps({"title": self.title, "body": self.body, **self.data})

    def time(self, send: Callable[[range], object]) -> None:
        """Have numbered messages sent, and tell how long all but the first took."""
        send(range(self.warm_up))
        began = time.monotonic()
        send(range(self.warm_up, self.warm_up + self.messages))
        _tell(time.monotonic() - began)

    async def time_async(self, send: Callable[[range], Awaitable[object]]) -> None:
        await send(range(self.warm_up))
        began = time.monotonic()
        await send(range(self.warm_up, self.warm_up + self.messages))
        _tell(time.monotonic() - began)


def _tell(seconds: float) -> None:
    print(json.dumps({"seconds": seconds}))
