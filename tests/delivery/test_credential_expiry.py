"""A key that ends raises a warning while there is time to renew it."""

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import call_command

from delivery import clocks, credential_expiry, sweeps
from delivery.models import Alert
from simulator.services.tls import key_pem
from tests.delivery import emulated

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def certificate(end: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(end - timedelta(days=365)).not_valid_after(end).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def written(path: Path, *parts: bytes) -> str:
    path.write_bytes(b"".join(parts))
    return str(path)


def test_a_certificate_ends_when_it_says(tmp_path: Path) -> None:
    ca_file = written(tmp_path / "ca.pem", certificate(NOW))

    assert credential_expiry.expires_at({"url": "mqtts://broker", "ca_file": ca_file}) == (NOW, "ca_file")


def test_of_two_authorities_the_last_counts_and_of_a_chain_the_first(tmp_path: Path) -> None:
    later = NOW + timedelta(days=100)
    both = written(tmp_path / "both.pem", certificate(NOW), certificate(later))

    assert credential_expiry.expires_at({"ca_file": both}) == (later, "ca_file")
    assert credential_expiry.expires_at({"certificate_file": both}) == (NOW, "certificate_file")


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ({"valid_before": "2027-01-02T03:04:05Z"}, datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"validBeforeTime": "2027-01-02T03:04:05"}, datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"valid_before": "soon"}, None),
        ({"valid_before": 5}, None),
        ({}, None),
    ],
)
def test_a_service_account_ends_when_its_file_says_so(
    tmp_path: Path, said: dict[str, object], end: datetime | None
) -> None:
    file = written(tmp_path / "account.json", json.dumps({"type": "service_account", **said}).encode())

    found = credential_expiry.expires_at({"service_account_file": file})

    assert found == (None if end is None else (end, "service_account_file"))


def test_a_p8_key_a_vapid_key_and_what_cannot_be_read_have_no_end(tmp_path: Path) -> None:
    key = written(tmp_path / "AuthKey.p8", key_pem(ec.generate_private_key(ec.SECP256R1())))

    for config in ({"key_file": key}, {"private_key": key}, {"ca_file": "/nowhere"}, {"ca_file": "a\0b"}, {}):
        assert credential_expiry.expires_at(config) is None


@pytest.mark.parametrize(
    ("stated", "end"),
    [
        (date(2027, 5, 31), datetime(2027, 5, 31, tzinfo=UTC)),
        (datetime(2027, 5, 31, 12), datetime(2027, 5, 31, 12, tzinfo=UTC)),  # noqa: DTZ001  (TOML knows such)
    ],
)
def test_of_a_secret_that_does_not_say_the_operator_may(stated: date, end: datetime) -> None:
    assert credential_expiry.expires_at({"client_secret": "s", "expires_at": stated}) == (end, "expires_at")


@pytest.mark.django_db
def test_an_alert_opens_30_days_before_and_closes_when_the_certificate_is_renewed(tmp_path: Path) -> None:
    now = clocks.db_now()
    path = tmp_path / "ca.pem"
    mqtt = {"url": "mqtts://broker.example", "ca_file": written(path, certificate(now + timedelta(days=31)))}
    with emulated.configured({"mqtt": {"default": mqtt}}):
        too_early = sweeps.warn_of_expiring_credentials()
        written(path, certificate(now + timedelta(days=29, minutes=5)))
        in_time = [sweeps.warn_of_expiring_credentials() for _ in range(2)]
        alert = Alert.objects.get()
        written(path, certificate(now + timedelta(days=365)))
        renewed = sweeps.warn_of_expiring_credentials()

    assert (too_early, in_time, renewed) == (0, [1, 1], 0)
    assert (alert.kind, alert.subject) == ("credential_expiring", "mqtt/default")
    assert alert.text.startswith("ca_file of mqtt/default ends in 29 days (")
    assert Alert.objects.get().closed_at is not None


@pytest.mark.django_db
def test_an_alert_closes_when_its_credential_is_gone(tmp_path: Path) -> None:
    Alert.objects.open_or_repeat("credential_expiring", "mqtt/default", "x", clocks.db_now())
    Alert.objects.open_or_repeat("misconfigured", "mqtt/default", "x", clocks.db_now())

    with emulated.configured({}):
        sweeps.warn_of_expiring_credentials()

    assert [alert.kind for alert in Alert.objects.filter(closed_at=None)] == ["misconfigured"]


def test_the_check_warns_of_what_ends_soon_and_of_what_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text('[wns.kiosk]\nclient_id = "ms-app://s"\nclient_secret = "s"\nexpires_at = 2026-01-01\n')
    said = StringIO()

    with emulated.configured({}, file):
        call_command("check", stderr=said)

    assert "(delivery.W005) expires_at of wns/kiosk has ended (2026-01-01 00:00 UTC)" in said.getvalue()
