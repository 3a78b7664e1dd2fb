"""What waits at the server: fetched on every reconnect, and by the clock where nothing wakes the device."""

import logging
from collections.abc import Callable

from homepot_agent.backoff import Backoff
from homepot_agent.server import Server
from homepot_agent.wire import INBOX_PAGE, Message, read_inbox

log = logging.getLogger(__name__)

REFUSED_S = 60.0
NEXT_PAGE_S = 0.5
"""The next page is there once this one is acked."""
SAME_PAGE_S = 5.0
"""All of it came before: its acks are on their way, or the host program is far behind."""

Take = Callable[[Message, str, str], bool]
"""Takes a message, the provider that it was sent by, and when; whether it is new."""


class Inbox:
    def __init__(self, server: Server, take: Take, pause_s: Callable[[], float]) -> None:
        self._server = server
        self._take = take
        self._pause_s = pause_s
        self.backoff = Backoff()

    def step(self) -> float:
        answer = self._server.call("GET", "/push/pending")
        if answer.status != 200:
            return self.backoff.failed(answer.retry_after_s) if answer.later else REFUSED_S
        self.backoff.reset()
        page = read_inbox(answer.data)
        new = sum(self._take(message, provider, sent_at) for message, provider, sent_at in page)
        if len(page) < INBOX_PAGE:
            return self._pause_s()
        return NEXT_PAGE_S if new else SAME_PAGE_S
