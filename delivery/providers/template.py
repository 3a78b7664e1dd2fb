"""What the messages of one job have in common is rendered once; for each message its own words are put in.

A job's messages differ in address, id, proof and moment alone. To render such a message with marks in their place, and
to cut what comes out at the marks, needs no knowledge of what a provider makes of a message; it must put these words in
as they are, and look at nothing else of a message but its content, priority, rest of life and collapse key.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from delivery.providers.base import Message

KEPT = 64
"""Templates at once: of jobs that are sent side by side, each for a second (what is left of a life is in seconds)."""

_ADDRESS, _ID, _SENT_AT, _PROOF, _DEVICE = (f"mark-{secrets.token_hex(8)}" for _ in range(5))
_MARKS = re.compile(f"({_ADDRESS}|{_ID}|{_SENT_AT}|{_PROOF}|{_DEVICE})")
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""Text that stands in JSON as it is."""


class _Moment(datetime):
    """Says its mark where it is written down; counts as the moment that it is."""

    def isoformat(self, *_: object) -> str:
        return _SENT_AT


class Templates:
    """Renders messages as `render` does. For one provider, on its event loop."""

    def __init__(self, render: Callable[[Message], bytes]) -> None:
        self._render = render
        self._kept: dict[tuple[object, ...], tuple[object, list[str]]] = {}

    def rendered(self, message: Message) -> bytes:
        parts = self._parts(message)
        own = {
            _ADDRESS: message.address,
            _ID: message.message_id,
            _SENT_AT: message.sent_at.isoformat(),
            _PROOF: message.ack_token,
            _DEVICE: message.device_id,
        }
        words = [own[mark] for mark in parts[1::2]]
        if not all(map(_PLAIN.fullmatch, words)):
            return self._render(message)
        return "".join([text for pair in zip(parts[::2], [*words, ""], strict=True) for text in pair]).encode()

    def _parts(self, message: Message) -> list[str]:
        """Text that is as it is, and marks: by turns, text first and last."""
        content = message.content
        second = int(message.sent_at.timestamp())
        key = (id(content), second, message.ttl_s, message.priority, message.collapse_key, message.ack_url)
        found = self._kept.get(key)
        if found is not None and found[0] is content:
            return found[1]
        if len(self._kept) >= KEPT:
            self._kept.clear()
        parts = _MARKS.split(self._render(_marked(message)).decode())
        self._kept[key] = (content, parts)
        return parts


def _marked(message: Message) -> Message:
    at = message.sent_at
    moment = _Moment(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, at.tzinfo)
    return replace(message, address=_ADDRESS, message_id=_ID, ack_token=_PROOF, device_id=_DEVICE, sent_at=moment)
