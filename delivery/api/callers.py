"""Who is calling, and how they prove it.

After authentication `request.auth` is a `Caller`, whoever it is. Both kinds of bearer stand in `Authorization: Bearer`;
a backend's key is told apart by its prefix `hpk_`, a JWT by its two dots.
"""

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from knox.auth import TokenAuthentication
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from delivery import clocks
from delivery.models import ApiKey, Device
from delivery.models.device import DEVICE_ID_PATTERN, Lifecycle
from delivery.models.keys import key_hash, key_matches

MISSING_DEVICE_HEADERS = "Missing X-API-Key or X-Device-ID header"
WRONG_DEVICE_KEY = "Wrong X-API-Key or X-Device-ID"
WRONG_BEARER = "Wrong or expired bearer token"
BEARER = re.compile(rb"[A-Za-z0-9._~+/=-]{1,4096}")
JWT_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]
JWT_LEEWAY_S = 30

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Exactly one of the three is set."""

    device: Device | None = None
    person: User | None = None
    backend: ApiKey | None = None

    @property
    def name(self) -> str:
        """As jobs and the audit log write it: `device:id`, `person:name` or `key:name`."""
        if self.device is not None:
            return f"device:{self.device.device_id}"
        if self.person is not None:
            return f"person:{self.person.get_username()}"
        return f"key:{self.backend.name if self.backend else ''}"


def caller(request: Request) -> Caller:
    """For views that let nobody in unproved."""
    assert isinstance(request.auth, Caller), "the view has no permission class"
    return request.auth


def calling_device(request: Request) -> Device:
    """For views of devices alone."""
    device = caller(request).device
    assert device is not None, "the view lets in others than devices"
    return device


class DeviceKey(BaseAuthentication):
    """`X-Device-ID` and `X-API-Key`. A wrong id and a wrong key answer alike; a suspended device is told so."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Caller] | None:
        device_id = request.headers.get("X-Device-ID", "")
        key = request.headers.get("X-API-Key", "")
        if not device_id and not key:
            return None
        if not device_id or not key:
            raise AuthenticationFailed(MISSING_DEVICE_HEADERS)
        return AnonymousUser(), Caller(device=device_of_key(device_id, key))

    def authenticate_header(self, request: Request) -> str:
        return 'ApiKey realm="device"'


def device_of_key(device_id: str, key: str) -> Device:
    """The device that the key was given to. The first use of a key is noted: it ends what provisioning may repeat."""
    device = _device(device_id)
    current = key_matches(key, device.key_hash if device else "")
    previous = key_matches(key, device.previous_key_hash if device else "")
    if device is None or not (current or previous):
        raise AuthenticationFailed(WRONG_DEVICE_KEY)
    if not current and (device.previous_key_until is None or device.previous_key_until <= clocks.db_now()):
        raise AuthenticationFailed(WRONG_DEVICE_KEY)
    if device.lifecycle in (Lifecycle.SUSPENDED, Lifecycle.RETIRED):
        raise PermissionDenied(f"This device is {device.lifecycle}")
    if current and device.key_used_at is None:
        _note_first_use(device)
    return device


def devices_with_keys(offered: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which pairs of device id and key are plainly good: current, used before, the device in service.

    What is missing here may still be good: `device_of_key` decides, and says why not.
    """
    ids = {device_id for device_id, _ in offered if re.match(DEVICE_ID_PATTERN, device_id)}
    in_service = Device.objects.reachable().filter(device_id__in=ids, key_used_at__isnull=False) if ids else None
    hashes = dict(in_service.values_list("device_id", "key_hash")) if in_service is not None else {}
    return {(device_id, key) for device_id, key in offered if key_matches(key, hashes.get(device_id, ""))}


def _device(device_id: str) -> Device | None:
    if not re.match(DEVICE_ID_PATTERN, device_id):
        return None
    return Device.objects.filter(device_id=device_id).first()


def _note_first_use(device: Device) -> None:
    """The guard on the hash makes provisioning again and first use exclude each other."""
    used = Device.objects.filter(pk=device.pk, key_hash=device.key_hash, key_used_at=None).update(
        key_used_at=clocks.db_now(),
        lifecycle=models.Case(
            models.When(lifecycle=Lifecycle.PENDING, then=models.Value(Lifecycle.ACTIVE)),
            default=models.F("lifecycle"),
        ),
    )
    device.refresh_from_db()
    if not used and device.key_used_at is None:
        raise AuthenticationFailed(WRONG_DEVICE_KEY)


class Bearer(BaseAuthentication):
    """A person's token from `/auth/token`, a JWT of the configured issuer, or a backend's key."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | AnonymousUser, Caller] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        if not BEARER.fullmatch(token.strip()):
            raise AuthenticationFailed(WRONG_BEARER)
        bearer = token.strip().decode()
        if bearer.startswith("hpk_"):
            return AnonymousUser(), Caller(backend=_backend(bearer))
        person = _person_of_jwt(bearer) if bearer.count(".") == 2 else _person_of_token(bearer)
        return person, Caller(person=person)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _backend(key: str) -> ApiKey:
    found = ApiKey.objects.valid().filter(key_hash=key_hash(key)).first()
    if found is None:
        raise AuthenticationFailed(WRONG_BEARER)
    return found


def _person_of_token(token: str) -> User:
    try:
        person, _ = TokenAuthentication().authenticate_credentials(token.encode())
    except AuthenticationFailed:
        raise AuthenticationFailed(WRONG_BEARER) from None
    assert isinstance(person, User)
    return person


def _person_of_jwt(token: str) -> User:
    """`sub` names the person. Only public-key algorithms: the key file may be read by all."""
    if not settings.JWT_ISSUER or not settings.JWT_KEY_FILE:
        raise AuthenticationFailed(WRONG_BEARER)
    try:
        claims = jwt.decode(
            token,
            _issuer_key(settings.JWT_KEY_FILE),
            algorithms=JWT_ALGORITHMS,
            issuer=settings.JWT_ISSUER,
            leeway=JWT_LEEWAY_S,
            options={"require": ["exp", "sub", "iss"], "verify_aud": False},
        )
    except jwt.PyJWTError as error:
        log.info("bearer refused", extra={"why": type(error).__name__})
        raise AuthenticationFailed(WRONG_BEARER) from None
    person = get_user_model().objects.filter(username=str(claims["sub"]), is_active=True).first()
    if person is None:
        raise AuthenticationFailed(WRONG_BEARER)
    return person


@cache
def _issuer_key(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


class Session(SessionAuthentication):
    """A signed-in browser, with a CSRF token on everything that writes."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, Caller] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        person = found[0]
        assert isinstance(person, User)
        return person, Caller(person=person)


class SessionByOrigin(Session):
    """A service worker knows no CSRF token: its `Origin`, which no page can forge, stands for it."""

    def enforce_csrf(self, request: Request) -> None:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        origin = request.headers.get("Origin", "")
        own = f"{request.scheme}://{request.get_host()}"
        if origin not in (own, *settings.CSRF_TRUSTED_ORIGINS):
            raise PermissionDenied("The Origin header does not match")
