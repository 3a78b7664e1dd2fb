"""A Web Push service: subscriptions, VAPID, encrypted payloads, a queue for browsers that are away.

API:    RFC 8030 (protocol), RFC 8188 and 8291 (encryption), RFC 8292 (VAPID)
Errors: https://mozilla-services.github.io/autopush-rs/errors.html (read 2026-11-21)

Unlike a real one it holds the private keys of simulated browsers: it opens each payload as the browser would and
answers 400 for one that does not open, which a sender would otherwise never hear of. What is for a real browser it
passes on as it came: see browsers.py.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import UUID

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from simulator.services.deliveries import Accepted, Keeps
from simulator.services.service import EmulatedService
from simulator.services.tls import write_private
from simulator.services.wire import Answer, Request, json_answer, named

ENDPOINT = re.compile(r"/wpush/(v2|browser)/([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]{22})")
"""Of a simulated device, whose keys this service knows, or of a real browser (browsers.py), whose keys it does not."""
VAPID = re.compile(r"vapid\s+(.+)", re.IGNORECASE)
TOPIC = re.compile(r"[A-Za-z0-9_=-]{1,32}")
MAX_BODY_BYTES = 4096
MAX_TTL_S = 2_592_000
MAX_VAPID_LIFE_S = 86_400
CLOCK_LEEWAY_S = 60
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ERRNO = {400: 110, 401: 109, 403: 109, 404: 102, 410: 106, 413: 104, 429: 201, 500: 999, 502: 902, 503: 201}


class EmulatedWebPush(EmulatedService):
    """Its addresses are subscriptions as a browser gives them (JSON); `Accepted.address` is the endpoint alone."""

    name: ClassVar[str] = "web_push"
    keeps: ClassVar[Keeps] = Keeps(plain=100, collapsed=100)

    def write_credentials(self) -> None:
        """The only secret is the seed of all subscriptions; a sender brings its own VAPID key."""
        seed_file = self.home / "web-push-seed"
        if not seed_file.exists():
            write_private(seed_file, secrets.token_bytes(32))
        self._seed = seed_file.read_bytes()
        self._vapid_until_s: dict[str, float] = {}

    def describe(self) -> dict[str, str]:
        return {}

    def new_address(self, application_server_key: str = "") -> str:
        """A subscription; one made with a VAPID public key takes messages of that key alone."""
        name = _base64(secrets.token_bytes(16))
        endpoint = self._endpoint("v2", name, application_server_key)
        key, auth = browser_keys(self._seed, name)
        public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _base64(public), "auth": _base64(auth)}
        return json.dumps({"endpoint": endpoint, "expirationTime": None, "keys": keys})

    def browser_endpoint(self, channel: UUID, application_server_key: str) -> str:
        """Where messages for a browser's channel are posted; the browser keeps its keys to itself."""
        return self._endpoint("browser", _base64(channel.bytes), application_server_key)

    def key_of(self, address: str) -> str:
        endpoint = json.loads(address)["endpoint"] if address.startswith("{") else address
        return f"{self.url}{urlsplit(endpoint).path}"

    def address_of(self, request: Request) -> str | None:
        return f"{self.url}{request.path}"

    def judge(self, request: Request) -> Accepted | Answer:
        match = ENDPOINT.fullmatch(request.path)
        if match is None or self._seal(*match.group(1, 2, 3)) != match[4]:
            return error(404, 102, "Invalid URL endpoint")
        if request.method != "POST":
            return error(405, 999, "Method not allowed")
        refusal = self._check_vapid(request.headers.get("authorization", ""), match[3]) or check_headers(request)
        if refusal:
            return refusal
        if match[1] == "browser":
            return self._accepted(request, {"encrypted": _base64(request.body)})
        plain = opened(self._seed, match[2], request.body) if request.body else b"null"
        if plain is None:
            return error(400, 110, "The payload does not open with the subscription's keys")
        return self._accepted(request, readable(plain))

    def thanks(self, request: Request, accepted: Accepted) -> Answer:
        headers = {"location": f"{self.url}/m/{accepted.provider_message_id}", "ttl": str(int(accepted.ttl_s))}
        return Answer(status=201, headers=headers)

    def refusal(self, status: int, reason: str, request: Request) -> Answer:
        """`reason` is an errno or a text; for a redirect (3xx) it is the new URL."""
        if 300 <= status < 400:
            return Answer(status=status, headers={"location": reason})
        errno = int(reason) if reason.isdecimal() else ERRNO.get(status, 999)
        return error(status, errno, reason if reason and not reason.isdecimal() else "Simulated")

    def gone(self, request: Request, since_s: float) -> Answer:
        return error(410, 106, "Invalid subscription")

    def quota_reason(self, by: str) -> str:
        return "201"

    def _endpoint(self, kind: str, name: str, application_server_key: str) -> str:
        owner = _digest(application_server_key) if application_server_key else ""
        return f"{self.url}/wpush/{kind}/{name}.{owner}.{self._seal(kind, name, owner)}"

    def _seal(self, kind: str, name: str, owner: str) -> str:
        """Makes endpoints that nobody can invent, and that need not be remembered."""
        return _base64(hmac.new(self._seed, f"{kind}.{name}.{owner}".encode(), hashlib.sha256).digest()[:16])

    def _check_vapid(self, authorization: str, owner: str) -> Answer | None:
        """A header that was found good stays good until its token expires."""
        now_s = time.time()
        if self._vapid_until_s.get(f"{owner} {authorization}", 0) > now_s:
            return None
        match = VAPID.fullmatch(authorization.strip())
        if match is None:
            return error(401, 109, "Missing VAPID authorization")
        parts = dict(part.strip().partition("=")[::2] for part in match[1].split(","))
        try:
            until_s = self._expiry(parts.get("t", ""), parts.get("k", ""), now_s)
        except (jwt.PyJWTError, ValueError, TypeError) as problem:
            return error(401, 109, f"Invalid VAPID token: {problem}")
        if owner and _digest(parts["k"]) != owner:
            return error(403, 109, "The VAPID key is not that of the subscription")
        self._vapid_until_s[f"{owner} {authorization}"] = until_s
        return None

    def _expiry(self, token: str, public_key: str, now_s: float) -> float:
        """When this token ends (Unix time). Raise ValueError, TypeError or PyJWTError for a bad one."""
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(public_key))
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=self.url, options={"require": ["aud", "exp"]})
        if claims["exp"] > now_s + MAX_VAPID_LIFE_S + CLOCK_LEEWAY_S:
            raise ValueError("exp lies more than 24 hours ahead")
        if not str(claims.get("sub", "mailto:")).startswith(("mailto:", "https:")):
            raise ValueError("sub is neither mailto: nor https:")
        return float(claims["exp"])

    def _accepted(self, request: Request, payload: Any) -> Accepted:
        provider_message_id = secrets.token_urlsafe(24)
        return Accepted(
            service=self.name,
            address=f"{self.url}{request.path}",
            message_id=named(payload) or provider_message_id,
            provider_message_id=provider_message_id,
            payload=payload,
            ttl_s=min(int(request.headers["ttl"]), MAX_TTL_S),
            collapse_key=request.headers.get("topic", ""),
            urgency=request.headers.get("urgency", "normal"),
        )


def opened(seed: bytes, name: str, body: bytes) -> bytes | None:
    """The plain text of a body, as the browser of this subscription reads it; None where it cannot."""
    key, auth = browser_keys(seed, name)
    try:
        return http_ece.decrypt(body, private_key=key, auth_secret=auth, version="aes128gcm") or None
    except (http_ece.ECEException, ValueError):
        return None


def readable(plain: bytes) -> Any:
    """JSON where it is JSON, else text."""
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        return plain.decode("utf-8", "replace")


def check_headers(request: Request) -> Answer | None:
    """The answer for headers or a size that the service does not take."""
    headers = request.headers
    if "ttl" not in headers:
        return error(400, 111, "Missing TTL header")
    if not headers["ttl"].isdecimal() or len(headers["ttl"]) > 10:
        return error(400, 112, "Invalid TTL header value")
    if not TOPIC.fullmatch(headers.get("topic", "t")):
        return error(400, 113, "Invalid Topic header value")
    if len(request.body) > MAX_BODY_BYTES:
        return error(413, 104, "Data payload too large")
    if request.body and headers.get("content-encoding", "").lower() != "aes128gcm":
        return error(400, 110, "Content-Encoding is not aes128gcm")
    return None


def error(status: int, errno: int, text: str) -> Answer:
    content = {"code": status, "errno": errno, "error": HTTPStatus(status).phrase, "message": text}
    return json_answer(status, content | {"more_info": "https://mozilla-services.github.io/autopush-rs/errors.html"})


@lru_cache(maxsize=20_000)
def browser_keys(seed: bytes, name: str) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """A subscription's private key and its authentication secret, always the same for the same name."""
    material = hmac.new(seed, name.encode(), hashlib.sha512).digest()
    scalar = int.from_bytes(material[:48]) % (P256_ORDER - 1) + 1
    return ec.derive_private_key(scalar, ec.SECP256R1()), material[48:]


def _digest(public_key: str) -> str:
    return _base64(hashlib.sha256(_bytes(public_key)).digest()[:16])


def _base64(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
