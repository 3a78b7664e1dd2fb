"""What APNs is asked to deliver: the headers and the JSON of one message.

Headers: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
Payload: https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
         (both read 2026-11-21)

What an order may carry besides title and body: `subtitle`, `image` (fetched by the app's service extension), `badge`,
`sound`, `category` (its action buttons), `thread_id` (grouping), `data_only`. What stands under `platforms.apns` goes
over that, except `aps` and `headers`, which go over what we build (push type, priority, collapse id and topic alone).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from delivery.priority import Priority
from delivery.providers.base import Message, flat, overrides

MAX_STORED_S = 30 * 86400

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PRIORITIES = {Priority.CRITICAL: "10", Priority.HIGH: "10", Priority.NORMAL: "5", Priority.LOW: "1"}
_BACKGROUND_PRIORITY = "5"
_SHOWN = ("title", "subtitle", "body", "badge", "sound")
_APS_KEYS = {"badge": "badge", "sound": "sound", "category": "category", "thread_id": "thread-id"}
_OVERRIDABLE = frozenset({"apns-push-type", "apns-priority", "apns-collapse-id", "apns-topic"})
_HEADER_TEXT = re.compile(r"[\x21-\x7e]{1,200}")


def payload(message: Message) -> bytes:
    """The JSON body: `aps` for the system, and the flat keys of the wire contract for the app."""
    own = overrides(message, "apns")
    message = _for_apple(message)
    aps = {"content-available": 1} if is_background(message) else _shown(message.content)
    body = {**flat(message), "aps": {**aps, **_mapping(own.get("aps"))}}
    return _json(body).encode("utf-8", errors="replace")


def _shown(content: Mapping[str, Any]) -> dict[str, Any]:
    aps = {name: content[key] for key, name in _APS_KEYS.items() if content.get(key) is not None}
    if alert := {key: content[key] for key in ("title", "subtitle", "body") if content.get(key)}:
        aps["alert"] = alert
        aps["mutable-content"] = 1  # runs the app's service extension, which acks; without one it means nothing
    return aps


def headers(message: Message, topic: str) -> dict[str, str]:
    """The `apns-*` headers of a message."""
    own = overrides(message, "apns")
    background = is_background(_for_apple(message))
    ours = {
        "apns-topic": topic,
        "apns-push-type": "background" if background else "alert",
        "apns-priority": _BACKGROUND_PRIORITY if background else _PRIORITIES[message.priority],
        "apns-expiration": str(int(message.sent_at.timestamp()) + min(message.ttl_s, MAX_STORED_S)),
        "apns-id": message.message_id,
    }
    if message.collapse_key:
        ours["apns-collapse-id"] = collapse_id(message.collapse_key)
    theirs = {name: str(value) for name, value in _mapping(own.get("headers")).items() if name in _OVERRIDABLE}
    return {**ours, **{name: value for name, value in theirs.items() if _HEADER_TEXT.fullmatch(value)}}


def _for_apple(message: Message) -> Message:
    own = {key: value for key, value in overrides(message, "apns").items() if key not in ("aps", "headers")}
    return replace(message, content={**message.content, **own}) if own else message


def is_background(message: Message) -> bool:
    """Nothing to show: the app is woken with the data alone."""
    content = message.content
    if content.get("data_only"):
        return True
    return not (content.get("title") or content.get("body")) and all(content.get(key) in (None, "") for key in _SHOWN)


def collapse_id(collapse_key: str) -> str:
    """The key itself where Apple takes it (64 bytes of header text), else its hash: equal keys stay equal."""
    if len(collapse_key) <= 64 and _HEADER_TEXT.fullmatch(collapse_key):
        return collapse_key
    return hashlib.sha256(collapse_key.encode("utf-8", errors="replace")).hexdigest()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
