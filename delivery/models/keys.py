"""Keys that we give out once and keep only as a hash.

They are 256 random bits, so one SHA-256 is as good as a slow password hash and costs a request nothing.
"""

import hashlib
import hmac
import os
import secrets
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
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80
    value |= 0x7 << 76
    value |= (random_bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random_bits & (1 << 62) - 1
    return uuid.UUID(int=value)
