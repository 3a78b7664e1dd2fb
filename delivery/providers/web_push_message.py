"""What goes to a browser: the subscription it gave us, the payload, its encryption (RFC 8291) and the headers."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.priority import Priority
from delivery.providers.base import Message, flat, overrides
from delivery.providers.egress import Rule, Target, check

MAX_TTL_S = 28 * 86400
"""The smallest maximum of the services: Google's. Mozilla and Apple take 30 days."""
TOPIC_HASH_BYTES = 24
"""32 characters of base64url, the most that RFC 8030 allows; Apple refuses what does not decode as such."""
AUTH_BYTES = 16
POINT_BYTES = 65

URGENCY = {Priority.CRITICAL: "high", Priority.HIGH: "high", Priority.NORMAL: "normal", Priority.LOW: "low"}

NOTIFICATION_KEYS = (
    "title",
    "body",
    "icon",
    "image",
    "badge",
    "tag",
    "actions",
    "silent",
    "renotify",
    "requireInteraction",
    "vibrate",
    "lang",
    "dir",
)
"""What of an order's content goes into the notification."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a browser gets its messages, and the keys with which only it can read them."""

    target: Target = field(repr=False)
    key: ec.EllipticCurvePublicKey = field(repr=False)
    secret: bytes = field(repr=False)


def parse_subscription(address: str, allowed: Rule) -> Subscription:
    """Read an address. `ValueError` says in our words what is wrong; `Refused` is one, for the endpoint."""
    try:
        found = json.loads(address)
    except (ValueError, RecursionError):
        raise ValueError("a Web Push address is the subscription as JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, dict) or not isinstance(found.get("endpoint"), str):
        raise ValueError("a Web Push subscription has an endpoint and keys")
    target = check(found["endpoint"], allowed)
    key, secret = _public_key(_decoded(keys.get("p256dh"))), _decoded(keys.get("auth"))
    if key is None:
        raise ValueError("keys.p256dh must be an uncompressed P-256 point in base64url")
    if len(secret) != AUTH_BYTES:
        raise ValueError(f"keys.auth must be {AUTH_BYTES} bytes in base64url")
    return Subscription(target, key, secret)


def payload(message: Message) -> bytes:
    """The flat keys of the wire contract, and beside them what the service worker shows: `notification`.

    Without a title and a body the message is for the program alone, and there is no `notification`.
    """
    plain = flat(message)
    if plain["title"] or plain["body"]:
        plain["notification"] = notification(message)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")


def notification(message: Message) -> dict[str, Any]:
    """The options of `showNotification`; `platforms.web_push.notification` of the order goes over them.

    A later notification with the same `tag` replaces the earlier one on the screen. A numeric `badge` is a count, for
    the worker to set; only a URL is a picture to show.
    """
    shown = {key: message.content[key] for key in NOTIFICATION_KEYS if message.content.get(key) is not None}
    if not isinstance(shown.get("badge", ""), str):
        del shown["badge"]
    if message.collapse_key:
        shown.setdefault("tag", message.collapse_key)
    own = overrides(message, "web_push").get("notification")
    return {"title": "", "body": "", **shown, **(own if isinstance(own, Mapping) else {})}


def encrypted(subscription: Subscription, plaintext: bytes) -> bytes:
    """The body to send, in `aes128gcm`: salt, our one-time public key, one record. 103 bytes longer."""
    body: bytes = http_ece.encrypt(
        plaintext,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=subscription.key,
        auth_secret=subscription.secret,
        version="aes128gcm",
    )
    return body


def headers(message: Message) -> dict[str, str]:
    """All but `authorization`. The collapse key is hashed: a topic has its own alphabet, and is nobody's business."""
    named = {
        "content-type": "application/octet-stream",
        "content-encoding": "aes128gcm",
        "ttl": str(min(message.ttl_s, MAX_TTL_S)),
        "urgency": URGENCY[message.priority],
    }
    if message.collapse_key:
        digest = hashlib.sha256(message.collapse_key.encode("utf-8", errors="replace")).digest()
        named["topic"] = base64.urlsafe_b64encode(digest[:TOPIC_HASH_BYTES]).decode("ascii")
    return named


def _decoded(text: Any) -> bytes:
    """Base64url as browsers write it, padded or not; empty for anything else."""
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _public_key(point: bytes) -> ec.EllipticCurvePublicKey | None:
    """None where it is not on the curve, or not written in full."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return None
    return key if len(point) == POINT_BYTES else None
