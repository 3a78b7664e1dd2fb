"""Pure: the proof inside a message that lets its device ack it, and nothing else.

A token is `<device_id>.<mac>`; the MAC covers message_id and device_id, so that it can be checked without a look-up.
The first key signs, all verify: a new key goes to the front, an old one is dropped after the longest TTL.
"""

import base64
import hmac
from collections.abc import Sequence

MAC_BYTES = 18


def sign(message_id: str, device_id: str, keys: Sequence[str]) -> str:
    return f"{device_id}.{_mac(message_id, device_id, keys[0])}"


def device_of(token: str, message_id: str, keys: Sequence[str]) -> str | None:
    """The device that the token was made for; None where it was not made by us for this message."""
    device_id, _, mac = token.rpartition(".")
    if not mac.isascii():
        return None
    good = [hmac.compare_digest(mac, _mac(message_id, device_id, key)) for key in keys]
    return device_id if any(good) else None


def _mac(message_id: str, device_id: str, key: str) -> str:
    text = f"{message_id.lower()}\n{device_id}".encode("utf-8", "surrogatepass")
    digest = hmac.digest(key.encode(), text, "sha256")
    return base64.urlsafe_b64encode(digest[:MAC_BYTES]).decode()
