"""VAPID (RFC 8292): one signed header per push service tells who is sending. Signed once, used for hours."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

from delivery.providers.base import ConfigError
from delivery.providers.clock import unix_s

LIFE_S = 12 * 3600
"""RFC 8292 allows 24 h; half of it forgives a clock that is wrong by hours."""
REFRESH_AFTER_S = 6 * 3600
RENEW_EVERY_S = 60.0
"""A header that was signed anew and is refused again is not at fault: no third one within this time."""
MAX_AUDIENCES = 256

SUBJECT = re.compile(r"mailto:[^\s<>@]+@[^\s<>@]+|https://[^\s<>/]+(/[^\s<>]*)?")


@dataclass(slots=True)
class _Signed:
    header: str
    signed_at: float
    renewed_at: float


class Vapid:
    """Signs for one key pair. `clock` gives seconds since 1970."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, subject: str, clock: Callable[[], float] = unix_s) -> None:
        self._signer = Vapid02(key)
        self._subject = subject
        self._clock = clock
        self._signed: dict[str, _Signed] = {}
        self.public_key = _base64url(
            key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        )
        """The uncompressed point, base64url without padding: what a browser subscribes with."""

    def header(self, audience: str) -> str:
        """The `Authorization` header for a push service; `audience` is the origin of the endpoint."""
        signed = self._signed.get(audience)
        if signed is None or not 0 <= self._clock() - signed.signed_at < REFRESH_AFTER_S:
            signed = self._sign(audience, renewed_at=float("-inf"))
        return signed.header

    def renewed(self, audience: str, refused: str) -> str | None:
        """Another header than the refused one; None where signing anew was tried a moment ago."""
        signed = self._signed.get(audience)
        if signed and signed.header != refused:
            return signed.header
        if signed and self._clock() - signed.renewed_at < RENEW_EVERY_S:
            return None
        return self._sign(audience, renewed_at=self._clock()).header

    def _sign(self, audience: str, renewed_at: float) -> _Signed:
        if len(self._signed) >= MAX_AUDIENCES:
            self._signed.clear()
        now = self._clock()
        claims = {"aud": audience, "exp": int(now) + LIFE_S, "sub": self._subject}
        signed = _Signed(self._signer.sign(claims)["Authorization"], signed_at=now, renewed_at=renewed_at)
        self._signed[audience] = signed
        return signed


def read_key(value: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key from base64url (32 bytes or PKCS #8), PEM text, or the path of a PEM file.

    `ConfigError` quotes neither the key nor the path.
    """
    text = value.strip()
    try:
        if "-----BEGIN" not in text and Path(text).is_file():
            text = Path(text).read_text(encoding="ascii").strip()
        key = _decoded(text)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(
            "private_key (WEB_PUSH_PRIVATE_KEY) is neither a P-256 key in base64url nor the path of a readable PEM file"
        )
    return key


def read_subject(value: str) -> str:
    """The contact that push services may write to: `mailto:` or `https:`; a bare e-mail address becomes `mailto:`."""
    subject = value.strip()
    if "@" in subject and ":" not in subject:
        subject = f"mailto:{subject}"
    if not SUBJECT.fullmatch(subject):
        raise ConfigError("subject (WEB_PUSH_CLAIMS_EMAIL) must be mailto:someone@example.com or an https:// address")
    return subject


def _decoded(text: str) -> object:
    if "-----BEGIN" in text:
        return serialization.load_pem_private_key(text.replace("\\n", "\n").encode("ascii"), password=None)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(raw) == 32:
        return ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
    return serialization.load_der_private_key(raw, password=None)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
