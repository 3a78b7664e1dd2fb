"""The JWT with which a team speaks to APNs.

Rules: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
       (read 2026-11-21): valid for an hour, a new one at most every 20 minutes and at least every 60.
"""

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from delivery.providers.base import ConfigError

PERIOD_S = 2400
SHORT_PERIOD_S = 1200


class ProviderToken:
    """The token of one team's key, the same in every process without any talk between them.

    Its `iat` is the last multiple of the period since 1970 and its signature is deterministic (RFC 6979), so all
    workers send the same bytes, and Apple sees a new token once per period however many they are.
    """

    def __init__(self, *, key: ec.EllipticCurvePrivateKey, key_id: str, team_id: str) -> None:
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._period_s = PERIOD_S
        self._issued_at = -1
        self._token = ""

    def at(self, now: datetime) -> str:
        issued_at = int(now.timestamp()) // self._period_s * self._period_s
        if issued_at != self._issued_at:
            self._issued_at, self._token = issued_at, self._sign(issued_at)
        return self._token

    def instead_of(self, refused: str, now: datetime) -> str | None:
        """A younger token after Apple called `refused` expired; None when there is none.

        From then on no token gets older than 20 minutes, which is as often as Apple allows.
        """
        self._period_s = SHORT_PERIOD_S
        token = self.at(now)
        return None if token == refused else token

    def _sign(self, issued_at: int) -> str:
        header = _base64url_json({"alg": "ES256", "kid": self._key_id, "typ": "JWT"})
        signed = f"{header}.{_base64url_json({'iss': self._team_id, 'iat': issued_at})}"
        r, s = decode_dss_signature(
            self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        )
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def read_key(key_file: str) -> ec.EllipticCurvePrivateKey:
    """Read a .p8 file; `ConfigError` says what is wrong with it, and never quotes it."""
    try:
        key = load_pem_private_key(Path(key_file).read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(f"apns: key_file {key_file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError):
        raise ConfigError(f"apns: key_file {key_file} is not an unencrypted .p8 (PEM) key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ConfigError(f"apns: key_file {key_file} is not a P-256 key, as Apple's are")
    return key


def _base64url_json(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
