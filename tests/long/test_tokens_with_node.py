"""The tokens that we sign, verified by Node's `jose`, which knows the rules of JWT but not our code."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from delivery.providers.apns_token import ProviderToken
from delivery.providers.vapid import REFRESH_AFTER_S, Vapid
from tests.delivery.providers import google
from tests.delivery.providers.browser import base64url, point_of, unbase64url
from tests.long.conftest import Node

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

NOW_S = int(google.NOW.timestamp())
DAY_S = 86_400
HOUR_S = 3600
PUSH_SERVICE = "https://updates.push.services.mozilla.com"
SUBJECT = "mailto:ops@example.com"
KEY = ec.generate_private_key(ec.SECP256R1())
VAPID_RULES = {"audience": PUSH_SERVICE, "subject": SUBJECT, "requiredClaims": ["exp"]}
BOUNDARY_S = NOW_S // 2400 * 2400
"""Apple's tokens change at multiples of 40 minutes."""


def verified(
    node: Node, token: str, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, *, now_s: int, rules: dict[str, Any]
) -> Any:
    return node.ask(
        "verify_token.mjs",
        token=token,
        public_key=key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        algorithm="RS256" if isinstance(key, rsa.RSAPublicKey) else "ES256",
        now_s=now_s,
        rules=rules,
    )


def vapid_parts(header: str) -> tuple[str, str]:
    """The token and the public key of an `Authorization` header."""
    scheme, _, rest = header.partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert scheme == "vapid"
    return parts["t"], parts["k"]


# Web Push


@pytest.mark.parametrize("age_s", [0, REFRESH_AFTER_S - 1], ids=["new", "as old as it gets"])
def test_a_push_service_believes_our_vapid_header(node: Node, age_s: int) -> None:
    times_s = iter([NOW_S, NOW_S + age_s])
    vapid = Vapid(KEY, SUBJECT, clock=lambda: next(times_s))
    first = vapid.header(PUSH_SERVICE)

    header = vapid.header(PUSH_SERVICE)

    token, public_key = vapid_parts(header)
    sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64url(public_key))
    found = verified(node, token, sender, now_s=NOW_S + age_s, rules=VAPID_RULES)
    assert header == first
    assert public_key == base64url(point_of(KEY))
    assert found["header"] == {"alg": "ES256", "typ": "JWT"}
    assert found["claims"]["aud"] == PUSH_SERVICE
    assert found["claims"]["exp"] <= NOW_S + DAY_S


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": ec.generate_private_key(ec.SECP256R1()).public_key()}, "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
        ({"rules": VAPID_RULES | {"audience": "https://fcm.googleapis.com"}}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        ({"now_s": NOW_S + DAY_S}, "ERR_JWT_EXPIRED"),
    ],
    ids=["another key", "another push service", "a day later"],
)
def test_our_vapid_header_is_good_for_nothing_else(node: Node, changes: dict[str, Any], code: str) -> None:
    token, _ = vapid_parts(Vapid(KEY, SUBJECT, clock=lambda: NOW_S).header(PUSH_SERVICE))
    usual = {"key": KEY.public_key(), "now_s": NOW_S, "rules": VAPID_RULES}

    found = verified(node, token, **{**usual, **changes})

    assert found == {"refused": code}


# APNs


@pytest.mark.parametrize(
    ("now_s", "issued_at"),
    [(BOUNDARY_S - 1, BOUNDARY_S - 2400), (BOUNDARY_S, BOUNDARY_S), (BOUNDARY_S + 2399, BOUNDARY_S)],
    ids=["just before the boundary", "on the boundary", "just before the next"],
)
def test_apple_believes_our_token_from_boundary_to_boundary(node: Node, now_s: int, issued_at: int) -> None:
    token = ProviderToken(key=KEY, key_id="KEY1234567", team_id="TEAM123456").at(datetime.fromtimestamp(now_s, UTC))

    found = verified(node, token, KEY.public_key(), now_s=now_s, rules={"issuer": "TEAM123456", "maxTokenAge": HOUR_S})

    assert found == {
        "header": {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"},
        "claims": {"iss": "TEAM123456", "iat": issued_at},
    }


# FCM


def test_google_believes_our_request_for_an_access_token(node: Node, tmp_path: Path) -> None:
    with google.Google() as server:
        google.send(google.fcm(server, tmp_path), [google.MESSAGE])
    [assertion] = parse_qs(server.token_requests[0].body.decode())["assertion"]
    rules = {
        "issuer": "push@homepot-test.iam.gserviceaccount.com",
        "audience": f"{server.url}/token",
        "requiredClaims": ["scope", "exp"],
        "maxTokenAge": HOUR_S,
    }

    found = verified(node, assertion, google.KEY.public_key(), now_s=NOW_S, rules=rules)

    assert found["header"] == {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
    assert found["claims"]["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
    assert 0 < found["claims"]["exp"] - found["claims"]["iat"] <= HOUR_S
