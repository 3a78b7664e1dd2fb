"""The short way for acks: what is plainly right is committed with others in one transaction, without a view.

Anything else (another form, a wrong proof, an unknown key, too many calls) goes on to the view, the one place where
refusals are worded. So both answer alike, and tests/delivery/test_acks.py runs over both.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

from delivery import outage
from delivery.api import acks, parsing
from delivery.api.ack_groups import AckCall, Fate, Groups
from delivery.api.acks import Reading
from homepot import exchange, metrics
from homepot.exchange import App, Receive, Scope, Send

log = logging.getLogger(__name__)

NOT_IN_TIME = "Not confirmed in time. Send it again; a second time changes nothing."
COMPACT = json.JSONEncoder(separators=(",", ":"))
REFUSALS = {Fate.AWAY: outage.TOLD, Fate.TOO_MANY: exchange.TOO_MUCH, Fate.UNKNOWN: NOT_IN_TIME}


@dataclass(frozen=True, slots=True)
class Form:
    """How the body of a route is read."""

    route: str
    read: Callable[[object, str | None], Reading]
    most_bytes: int
    most_keys: int


ONE = Form("api/v1/push/ack", acks.one, parsing.MAX_BODY_BYTES, parsing.MAX_KEYS)
MANY = Form("api/v1/push/ack/batch", acks.many, acks.BATCH_BYTES, acks.BATCH_KEYS)
FORMS = {f"/{form.route}": form for form in (ONE, MANY)}


class AckEntry:
    """ASGI application around all others. `on_refusal` is called for each ack that was one too many."""

    def __init__(self, app: App, groups: Groups, *, on_refusal: Callable[[], None]) -> None:
        self._app = app
        self._groups = groups
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = _form(scope)
        headers = _plain_headers(scope, form) if form else None
        if form is None or headers is None:
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        body = await exchange.read(receive, form.most_bytes)
        if body is None:
            return
        reading = _read(form, body, headers)
        fate = Fate.NOT_PLAIN
        if reading is not None:
            fate = await self._groups.commit(_call(scope, headers, reading))
        if reading is None or fate is Fate.NOT_PLAIN:
            await self._app(scope, exchange.replay(body, receive), send)
            return
        if fate is Fate.TOO_MANY:
            self._on_refusal()
        metrics.observe_directly(form.route, 200 if fate is Fate.COMMITTED else 503, time.monotonic() - started_s)
        if fate is Fate.COMMITTED:
            await exchange.answer(send, 200, COMPACT.encode(reading.answer).encode())
        else:
            await exchange.refuse(send, 503, REFUSALS[fate])


def _form(scope: Scope) -> Form | None:
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    return FORMS.get(scope["path"])


def _plain_headers(scope: Scope, form: Form) -> Mapping[bytes, bytes] | None:
    """The headers, where nothing about them needs Django's judgement."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    plain = (
        len(headers) == len(scope["headers"])
        and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == b"application/json"
        and b"content-encoding" not in headers
        and b"transfer-encoding" not in headers
        and length.isdigit()
        and len(length) < 10
        and int(length) <= form.most_bytes
        and (b"x-api-key" in headers) == (b"x-device-id" in headers)
        and _is_our_host(headers.get(b"host", b""), tuple(settings.ALLOWED_HOSTS))
        and (not settings.SECURE_SSL_REDIRECT or _is_secure(scope, headers))
    )
    return headers if plain else None


@lru_cache(maxsize=256)
def _is_our_host(host: bytes, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, allowed)


def _is_secure(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    forwarded = headers.get(b"x-forwarded-proto") == b"https" and bool(settings.SECURE_PROXY_SSL_HEADER)
    return forwarded or scope.get("scheme") == "https"


def _read(form: Form, body: bytes, headers: Mapping[bytes, bytes]) -> Reading | None:
    device_id = headers[b"x-device-id"].decode("latin-1") if b"x-device-id" in headers else None
    try:
        data = parsing.read(body, limit_bytes=form.most_bytes, max_keys=form.most_keys)
        return form.read(data, device_id)
    except APIException:
        return None


def _call(scope: Scope, headers: Mapping[bytes, bytes], reading: Reading) -> AckCall:
    key = None
    if b"x-device-id" in headers:
        key = (headers[b"x-device-id"].decode("latin-1"), headers[b"x-api-key"].decode("latin-1"))
    return AckCall(proven=reading.proven, address=_address(scope, headers), key=key)


def _address(scope: Scope, headers: Mapping[bytes, bytes]) -> str | None:
    """Where the call came from, as `BaseThrottle.get_ident` has it, which wants a whole request."""
    forwarded = headers.get(b"x-forwarded-for")
    if forwarded is None or not api_settings.NUM_PROXIES:
        return scope["client"][0] if scope.get("client") else None
    addresses = forwarded.decode("latin-1").split(",")
    return addresses[-min(api_settings.NUM_PROXIES, len(addresses))].strip()
