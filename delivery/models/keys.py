"""Keys that we give out once and keep only as a hash.

They are 256 random bits, so one SHA-256 is as good as a slow password hash and costs a request nothing.
"""

import hashlib
import hmac
import os
import secrets
import struct
import time
import uuid


def new_key(prefix: str = "hp") -> str:
    """A fresh key: `hp_` and 43 URL-safe characters."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def key_hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def key_matches(key: str, stored_hash: str) -> bool:
    """Compared in constant time; an empty stored hash matches nothing."""
    return bool(stored_hash) and hmac.compare_digest(key_hash(key), stored_hash)


def new_message_id() -> uuid.UUID:
    """UUID version 7: 48 bits of milliseconds, 74 random bits and no counter, so that no id tells the next one."""
    return new_message_ids(1)[0]


def new_message_ids(count: int) -> list[uuid.UUID]:
    """As many at once, of one moment: a call of the system for all of them, not for each."""
    moment = ((time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80) | (0x7 << 76) | (0b10 << 62)
    return [
        uuid.UUID(int=moment | (high & 0xFFF) << 64 | low & (1 << 62) - 1)
        for high, low in struct.iter_unpack(">HQ", os.urandom(10 * count))
    ]
