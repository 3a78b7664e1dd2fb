"""What devices of the bench are known by at each provider, in SQL for the product's own and in Python for the rest.

A browser's subscription has real keys: some thousand pairs, each the keys of several browsers, since encrypting for a
key costs the same the second time.
"""

import base64
import json
import os
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.stage import Play

KEYS = 5_000
SOME = 1_000
AUTH_BYTES = 16
SQL = {
    "fcm": "'token-' || n",
    "apns": "lpad(to_hex(n), 64, '0')",
    "web_push": f"(SELECT replace(subscription, '@N@', n::text) FROM bench_subscriptions WHERE id = n %% {KEYS})",
    "mqtt": "'mqtt-' || n",
    "simulation": "'simulation-' || n",
}
"""The address of device number `n`."""


def give(play: Play, provider: str, count: int) -> None:
    """So many devices with one channel each at this provider."""
    if provider == "web_push":
        texts = [json.dumps(each) for each in _subscriptions(play.stage.stub.url)]
        play.record.execute("CREATE TABLE bench_subscriptions (id int PRIMARY KEY, subscription text NOT NULL)")
        play.record.execute(
            "INSERT INTO bench_subscriptions SELECT n - 1, t FROM unnest(%s::text[]) WITH ORDINALITY AS made (t, n)",
            texts,
        )
    play.devices(provider, count, SQL[provider])


def some(provider: str, stub_url: str) -> list[str]:
    """Addresses for those who send without the product."""
    if provider == "web_push":
        made = enumerate(_subscriptions(stub_url)[:SOME])
        return [json.dumps(each).replace("@N@", str(number)) for number, each in made]
    text = {"fcm": "token-{}", "apns": "{:064x}", "mqtt": "mqtt-{}"}[provider]
    return [text.format(number) for number in range(SOME)]


@cache
def _subscriptions(stub_url: str) -> list[dict[str, object]]:
    return [
        {"endpoint": f"{stub_url}/wpush/@N@", "keys": {"p256dh": _public_key(), "auth": _text(os.urandom(AUTH_BYTES))}}
        for _ in range(KEYS)
    ]


def _public_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return _text(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
