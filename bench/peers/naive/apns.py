"""APNs with httpx over HTTP/2, one client per push; the provider token is kept for half an hour."""

import time
from pathlib import Path

import httpx
import jwt

from bench.peers.naive import settings
from bench.peers.naive.models import Push

TOKEN_S = 1_800
TIMEOUT_S = 10

_token, _signed_at = "", 0.0


def post(push: Push) -> str:
    """The provider's id of the message; `OSError` where it was not taken."""
    payload = {
        "aps": {"alert": {"title": push.title, "body": push.body}},
        **push.data,
        "message_id": str(push.message_id),
    }
    headers = {
        "authorization": f"bearer {token()}",
        "apns-topic": settings.APNS_TOPIC,
        "apns-push-type": "alert",
        "apns-id": str(push.message_id),
    }
    try:
        with httpx.Client(http2=True, timeout=TIMEOUT_S) as client:
            answer = client.post(f"{settings.PUSH_URL}/3/device/{push.device.token}", json=payload, headers=headers)
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise OSError(str(error)) from error
    return str(answer.headers["apns-id"])


def token() -> str:
    global _token, _signed_at
    if time.time() - _signed_at > TOKEN_S:
        _signed_at = time.time()
        key = Path(settings.APNS_KEY_FILE).read_text(encoding="ascii")
        claims = {"iss": settings.APNS_TEAM_ID, "iat": int(_signed_at)}
        _token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": settings.APNS_KEY_ID})
    return _token
