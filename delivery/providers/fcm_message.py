"""What FCM is asked to deliver: one message in the words of the HTTP v1 API.

Fields: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages (read 2026-11-21)

What an order may carry besides title and body: `image`, `icon`, `badge`, `sound`, `category` (action buttons of an
iOS app), `thread_id` (grouping), `data_only`. What stands under `platforms.fcm` goes over that, except FCM's own parts
(`NATIVE`), which go key by key over the ones that we build.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from delivery.priority import Priority
from delivery.providers.base import Message, flat, overrides

MAX_TTL_S = 2_419_200
NATIVE = ("notification", "android", "apns", "webpush", "fcmOptions")

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_URGENT = (Priority.CRITICAL, Priority.HIGH)
_URGENCIES = {Priority.CRITICAL: "high", Priority.HIGH: "high", Priority.NORMAL: "normal", Priority.LOW: "low"}
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")


def body(message: Message) -> dict[str, Any]:
    """The request body. With nothing to show, or `data_only`, the app gets the data and no notification is made."""
    own = overrides(message, "fcm")
    if own:
        content = {**message.content, **{key: value for key, value in own.items() if key not in NATIVE}}
        message = replace(message, content=content)
    native: dict[str, Any] = {
        "notification": notification(message),
        "android": android(message),
        "apns": apns(message),
        "webpush": webpush(message),
    }
    if own:
        native = _merged(native, {key: value for key, value in own.items() if key in NATIVE})
    return {
        "message": {
            "token": message.address,
            "data": {key: _text(value) for key, value in flat(message).items()},
            **{key: value for key, value in native.items() if value},
        }
    }


def encoded(built: Mapping[str, Any]) -> bytes:
    """The body as it travels. A lone surrogate, which no JSON may carry, becomes a question mark."""
    return _json(built).encode("utf-8", errors="replace")


def limited_text(built: Mapping[str, Any]) -> bytes:
    """What FCM's limit counts of a request body: keys and values of data and notification."""
    parts = (built["message"]["data"], built["message"].get("notification"))
    texts = (f"{key}{value}" for part in parts if isinstance(part, Mapping) for key, value in part.items())
    return "".join(texts).encode("utf-8", errors="replace")


def is_silent(message: Message) -> bool:
    return bool(message.content.get("data_only")) or not (message.content.get("title") or message.content.get("body"))


def notification(message: Message) -> dict[str, Any]:
    return {} if is_silent(message) else _chosen(message, title="title", body="body", image="image")


def android(message: Message) -> dict[str, Any]:
    """`collapseKey`: the device keeps four different ones while it is away."""
    shown = {} if is_silent(message) else _chosen(message, sound="sound", icon="icon", badge="notificationCount")
    return {
        "priority": "HIGH" if message.priority in _URGENT else "NORMAL",
        "ttl": f"{min(message.ttl_s, MAX_TTL_S)}s",
        **({"collapseKey": message.collapse_key} if message.collapse_key else {}),
        **({"notification": shown} if shown else {}),
    }


def apns(message: Message) -> dict[str, Any]:
    """What FCM hands on to Apple for an iOS app; there data alone must not be urgent."""
    silent = is_silent(message)
    headers = {
        "apns-push-type": "background" if silent else "alert",
        "apns-priority": "10" if message.priority in _URGENT and not silent else "5",
        "apns-expiration": str(int(message.sent_at.timestamp()) + min(message.ttl_s, MAX_TTL_S)),
    }
    shown = _chosen(message, badge="badge", sound="sound", category="category", thread_id="thread-id")
    aps = {"content-available": 1} if silent else shown
    if not silent:
        aps["mutable-content"] = 1  # runs the app's service extension, which acks; without one it means nothing
    return {"headers": headers, **({"payload": {"aps": aps}} if aps else {})}


def webpush(message: Message) -> dict[str, Any]:
    headers = {"TTL": str(min(message.ttl_s, MAX_TTL_S)), "Urgency": _URGENCIES[message.priority]}
    if _TOPIC.fullmatch(message.collapse_key):
        headers["Topic"] = message.collapse_key
    shown = {} if is_silent(message) else _chosen(message, icon="icon")
    return {"headers": headers, **({"notification": shown} if shown else {})}


def _chosen(message: Message, **names: str) -> dict[str, Any]:
    """Those of the content's keys that are there, under FCM's names."""
    content = message.content
    return {theirs: content[ours] for ours, theirs in names.items() if content.get(ours) not in (None, "")}


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        merged[key] = _merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return merged


def _text(value: Any) -> str:
    """FCM takes strings only: what is none travels as JSON."""
    return value if isinstance(value, str) else _json(value)
