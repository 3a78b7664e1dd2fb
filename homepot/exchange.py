"""One HTTP exchange under ASGI: read the body, give it on, answer without Django."""

import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Scope = dict[str, Any]
Event = Mapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

RETRY_AFTER_S = (2, 6)
"""Between these, so that those who were refused together do not come back together."""
TOO_MUCH = "Too much to do at the moment. Try again in a few seconds; nothing was changed."


async def read(receive: Receive, most_bytes: int) -> bytes | None:
    """The whole body, cut off where it is longer than that; None when the client went away."""
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        part = event.get("body", b"")
        if size_bytes <= most_bytes:
            parts.append(part)
        size_bytes += len(part)
        if not event.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, then whatever comes."""
    events: list[Event] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Event:
        return events.pop() if events else await receive()

    return again


async def answer(send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    """A whole answer in JSON."""
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": content})


async def refuse(send: Send, status: int, detail: str) -> None:
    """An error as the API words it; a 503 says when to come back."""
    later = [(b"retry-after", str(random.randint(*RETRY_AFTER_S)).encode())] if status == 503 else []
    await answer(send, status, json.dumps({"detail": detail, "status_code": status}).encode(), *later)
