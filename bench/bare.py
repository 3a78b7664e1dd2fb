"""The least that an ASGI application can do: read the body, answer; with or without looking into it."""

import json
from typing import Any


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _body(scope, receive)
    await _send(send, b"{}")


async def answer_each(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A list of acks: each is answered by its id, as the product does."""
    acks = json.loads(await _body(scope, receive) or b"[]")
    results = [{"message_id": ack["message_id"], "status": "acknowledged"} for ack in acks]
    await _send(send, json.dumps({"results": results}).encode())


async def _body(scope: dict[str, Any], receive: Any) -> bytes:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    parts = []
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        if not event.get("more_body"):
            return b"".join(parts)


async def _send(send: Any, content: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
