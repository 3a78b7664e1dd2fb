"""The short way for acks, called as a server calls it: whole requests in, whole answers out, a thread that commits."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from rest_framework.test import APIClient

from delivery.api.ack_groups import AckCall, Fate, Groups, commit_group
from homepot.ack_entry import AckEntry


def commit_and_part(calls: Sequence[AckCall]) -> Sequence[Fate]:
    """The connection does not outlive the test that the acks came from."""
    try:
        return commit_group(calls)
    finally:
        connection.close()


GROUPS = Groups(commit_and_part)


@dataclass
class Answer:
    status_code: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    def json(self) -> Any:
        return json.loads(self.content)


class EntryClient:
    """Speaks as rest_framework's APIClient does, as far as acks need it."""

    def __init__(self, groups: Groups = GROUPS) -> None:
        self.left_to_the_view: bytes | None = None
        """The body that the view was given, where the last call went on to it."""
        self.refused = 0
        self._application = AckEntry(self._view, groups, on_refusal=self._count_refusal)

    def _count_refusal(self) -> None:
        self.refused += 1

    async def _view(self, scope: Any, receive: Any, send: Any) -> None:
        self.left_to_the_view = (await receive())["body"]

    def post(self, path: str, data: object, **extra: Any) -> Any:
        body = json.dumps(data).encode()
        answer = asyncio.run(self.ask(path, body, **extra))
        if self.left_to_the_view is None:
            return answer
        return APIClient().generic("POST", path, self.left_to_the_view.decode(), "application/json", **extra)

    async def ask(self, path: str, body: bytes, **extra: str) -> Answer:
        """`extra`: headers as WSGI names them."""
        self.left_to_the_view = None
        named = {
            "HTTP_HOST": "localhost",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            **extra,
        }
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode("latin-1"))
            for name, value in named.items()
        ]
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
        }
        answer = Answer()

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: Any) -> None:
            if event["type"] == "http.response.start":
                answer.status_code = event["status"]
                answer.headers = {name.decode(): value.decode() for name, value in event["headers"]}
            else:
                answer.content += event.get("body", b"")

        await self._application(scope, receive, send)
        return answer
