"""A browser as a push service knows it: it makes a subscription, and reads what was encrypted for it."""

import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(frozen=True)
class Browser:
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    secret: bytes = field(default_factory=lambda: os.urandom(16))

    def subscription(self, endpoint: str) -> dict[str, Any]:
        keys = {"p256dh": base64url(point_of(self.key)), "auth": base64url(self.secret)}
        return {"endpoint": endpoint, "expirationTime": None, "keys": keys}

    def address(self, endpoint: str) -> str:
        return json.dumps(self.subscription(endpoint))

    def plaintext(self, body: bytes) -> bytes:
        plain: bytes = http_ece.decrypt(body, private_key=self.key, auth_secret=self.secret, version="aes128gcm")
        return plain

    def read(self, body: bytes) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.plaintext(body))
        return message


def vapid_claims(authorization: str, audience: str) -> tuple[dict[str, Any], str]:
    """The claims and the public key of a header whose signature PyJWT found good."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    parts = dict(part.split("=", 1) for part in rest.split(","))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64url(parts["k"]))
    return jwt.decode(parts["t"], key, algorithms=["ES256"], audience=audience), parts["k"]
