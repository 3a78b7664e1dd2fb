"""Several credentials of one provider, side by side, from files that change while the workers run."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client

from delivery import credentials, sending, sweeps
from delivery.models import Alert, Channel, ProviderState, PushNotificationLog
from simulator.services import EmulatedFcm, running
from simulator.services.tls import key_pem
from tests.delivery import emulated

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Where the two projects keep their keys: making an RSA key takes longer than a test."""
    return [tmp_path_factory.mktemp(name) for name in ("tills", "kiosks")]


@pytest.fixture
def projects(homes: list[Path], broker: object) -> Iterator[tuple[EmulatedFcm, EmulatedFcm]]:
    tills, kiosks = (EmulatedFcm(home=home) for home in homes)
    tills.project_id, kiosks.project_id = "homepot-tills", "homepot-kiosks"
    with running(tills), running(kiosks):
        yield tills, kiosks


def table(name: str, config: dict[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())


@pytest.fixture
def file(tmp_path: Path, projects: tuple[EmulatedFcm, EmulatedFcm]) -> Iterator[Path]:
    """CREDENTIALS_FILE with the credentials `tills` and `kiosks`."""
    path = tmp_path / "credentials.toml"
    tills, kiosks = map(emulated.settings_of, projects)
    path.write_text(table("fcm.tills", tills) + table("fcm.kiosks", kiosks))
    with emulated.configured({}, path):
        yield path


def send_to(service: EmulatedFcm, credential: str, count: int = 1) -> list[PushNotificationLog]:
    job = emulated.order(emulated.a_fleet(service, count, credential=credential))
    sending.send_batch("fcm")
    return list(PushNotificationLog.objects.filter(job=job))


def check() -> str:
    """What `manage.py check` says."""
    said = StringIO()
    try:
        call_command("check", stdout=said, stderr=said)
    except SystemCheckError as found:
        return str(found)
    return said.getvalue()


def test_each_message_goes_with_its_channels_credential(file: Path, projects: tuple[EmulatedFcm, EmulatedFcm]) -> None:
    tills, kiosks = projects
    of_tills = emulated.a_fleet(tills, 10, credential="tills")
    of_kiosks = emulated.a_fleet(kiosks, 10, credential="kiosks")
    emulated.order([channel for pair in zip(of_tills, of_kiosks, strict=True) for channel in pair])

    while sending.send_batch("fcm"):
        pass

    assert {each.address for each in tills.accepted()} == {channel.address for channel in of_tills}
    assert {each.address for each in kiosks.accepted()} == {channel.address for channel in of_kiosks}


def test_a_wrong_credential_is_named_and_the_others_send(file: Path, projects: tuple[EmulatedFcm, EmulatedFcm]) -> None:
    file.write_text(file.read_text() + '[fcm.trial]\nproject_id = "homepot-trial"\n[pigeon.first]\nloft = "north"\n')

    said = check()
    [row] = send_to(projects[0], "tills")

    assert "The credential 'trial' of fcm cannot be used" in said
    assert "service_account_file" in said
    assert "The credential 'first' of pigeon cannot be used: unknown provider" in said
    assert "'tills'" not in said
    assert row.status == "sent"


def test_what_waits_for_a_credential_that_is_gone_takes_its_next_channel(
    file: Path, projects: tuple[EmulatedFcm, EmulatedFcm]
) -> None:
    [of_tills] = emulated.a_fleet(projects[0], 1, credential="tills")
    [of_kiosks] = emulated.a_fleet(projects[1], 1, credential="kiosks")
    emulated.order([of_tills, of_kiosks])
    Channel.objects.filter(pk=of_kiosks.pk).update(device=of_tills.device, rank=1)
    file.write_text(table("fcm.kiosks", emulated.settings_of(projects[1])))

    moved = sweeps.detour()

    row = PushNotificationLog.objects.get(device=of_tills.device)
    assert (moved, row.credential, row.channel_id) == (1, "kiosks", of_kiosks.pk)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[fcm.tills\n", "line 1"),
        ("fcm = 1\n", "must be tables"),
        ("[fcm]\nproject_id = 'p'\n", "must be tables"),
        ("[fcm.'two words']\n", "a name has 1 to 50"),
        ("[fcm.tills]\nexpires_at = 'soon'\n", "must be a date"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_what_was_read_before_stays(
    file: Path, projects: tuple[EmulatedFcm, EmulatedFcm], text: str, why: str
) -> None:
    send_to(projects[0], "tills")
    file.write_text(text)

    said = check()
    [row] = send_to(projects[0], "tills")

    assert "CREDENTIALS_FILE cannot be used" in said
    assert why in said
    assert row.status == "sent"


def test_a_file_that_is_gone_leaves_what_was_read_before(file: Path, projects: tuple[EmulatedFcm, EmulatedFcm]) -> None:
    send_to(projects[0], "tills")
    file.unlink()

    [row] = send_to(projects[0], "tills")

    assert "No such file" in check()
    assert row.status == "sent"


def test_a_rewritten_file_is_used_from_the_next_batch_on(file: Path, projects: tuple[EmulatedFcm, EmulatedFcm]) -> None:
    tills, kiosks = projects
    send_to(tills, "tills")
    file.write_text(table("fcm.tills", emulated.settings_of(kiosks)))

    send_to(kiosks, "tills")

    assert (len(tills.accepted()), len(kiosks.accepted())) == (1, 1)


def test_a_replaced_key_file_is_used_from_the_next_batch_on(
    file: Path, projects: tuple[EmulatedFcm, EmulatedFcm], tmp_path: Path
) -> None:
    tills, kiosks = projects
    key = tmp_path / "key.json"
    another = json.loads(kiosks.service_account_file.read_bytes())
    key.write_text(json.dumps({**another, "token_uri": f"{tills.url}/token"}))
    file.write_text(table("fcm.tills", {**emulated.settings_of(tills), "service_account_file": str(key)}))
    [refused] = send_to(tills, "tills")
    shutil.copy(tills.service_account_file, tmp_path / "new.json")

    os.replace(tmp_path / "new.json", key)
    ProviderState.objects.all().delete()
    [taken] = send_to(tills, "tills")

    assert (refused.status, refused.error_code) == ("pending", "token_invalid_grant")
    assert taken.status == "sent"


def test_a_file_of_the_same_size_and_date_is_another_file(tmp_path: Path) -> None:
    old, new = tmp_path / "old.p8", tmp_path / "new.p8"
    old.write_text("first key")
    new.write_text("other key")
    shutil.copystat(old, new)
    before = credentials.fingerprint({"key_file": str(old)})

    os.replace(new, old)

    assert credentials.fingerprint({"key_file": str(old)}) != before


def test_a_key_file_that_is_half_written_leaves_the_one_before(
    file: Path, projects: tuple[EmulatedFcm, EmulatedFcm], caplog: pytest.LogCaptureFixture
) -> None:
    tills, _ = projects
    send_to(tills, "tills")
    whole = tills.service_account_file.read_bytes()
    try:
        tills.service_account_file.write_bytes(whole[: len(whole) // 2])

        rows = send_to(tills, "tills") + send_to(tills, "tills")
        said = check()
    finally:
        tills.service_account_file.write_bytes(whole)

    assert {row.status for row in rows} == {"sent"}
    assert "is not JSON" in said
    assert [record.message for record in caplog.records].count("credential not usable; the one before goes on") == 1


SECRETS = ("PRIVATE-KEY-TEXT", "client-secret-text", "mqtt-password-text")
BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("fcm", {"service_account_file": "KEY", "project_id": "p"}),
    ("apns", {"key_file": "KEY", "key_id": "k", "team_id": "t", "topic": "x"}),
    ("apns", {"key_file": "KEY", "key_id": "k", "team_id": "t", "topic": "x", "ca_file": "KEY"}),
    ("wns", {"client_id": "not-a-sid", "client_secret": "client-secret-text"}),
    ("wns", {"client_id": "c", "client_secret": "client-secret-text", "tenant_id": "a tenant"}),
    (
        "wns",
        {"client_id": "ms-app://s", "client_secret": "client-secret-text", "ca_file": "/nowhere/ca.pem"},
    ),
    (
        "wns",
        {"client_id": "ms-app://s", "client_secret": "client-secret-text", "ca_file": "KEY"},
    ),
    ("web_push", {"private_key": "PRIVATE-KEY-TEXT", "subject": "mailto:ops@example.org"}),
    ("web_push", {"private_key": "-----BEGIN PRIVATE-KEY-TEXT", "subject": "nobody"}),
    ("wns", {"client_id": 5, "client_secret": "client-secret-text"}),
    ("mqtt", {"url": "mqtt://user:mqtt-password-text@broker", "window": "many"}),
    ("mqtt", {"url": "mqtt://user:mqtt-password-text@broker:port"}),
    ("mqtt", {"url": "mqtt://user:mqtt-password-text@broker/path"}),
    ("mqtt", {"url": "https://user:mqtt-password-text@broker"}),
]


@pytest.mark.parametrize(("provider", "config"), BROKEN)
def test_a_broken_credential_is_named_without_its_secrets(
    provider: str, config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "key"
    key.write_text('{"type": "service_account", "private_key": "PRIVATE-KEY-TEXT", "client_email": "e"}')
    file = tmp_path / "credentials.toml"
    file.write_text(table(f"{provider}.mine", {k: str(key) if v == "KEY" else v for k, v in config.items()}))

    with emulated.configured({}, file):
        said = check()

    assert f"The credential 'mine' of {provider} cannot be used" in said
    assert_no_secret(said + whole_log(caplog))


@pytest.mark.parametrize("ca_file", ["/nowhere/ca.pem", __file__])
def test_a_browsers_credential_without_a_usable_authority_is_named(ca_file: str) -> None:
    key = key_pem(ec.generate_private_key(ec.SECP256R1())).decode()
    config = {"private_key": key, "subject": "mailto:ops@example.org", "ca_file": ca_file}

    assert "ca_file cannot be used" in credentials.what_is_missing("web_push", "mine", config)


def test_a_file_with_a_mistake_in_a_secrets_line_is_named_without_the_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "credentials.toml"
    file.write_text('[wns.mine]\nclient_secret = "client-secret-text\n')

    with emulated.configured({}, file):
        said = check()

    assert "line 2" in said
    assert_no_secret(said + whole_log(caplog))


def test_no_secret_reaches_the_log_the_record_or_the_admin(
    file: Path, projects: tuple[EmulatedFcm, EmulatedFcm], caplog: pytest.LogCaptureFixture, client: Client
) -> None:
    caplog.set_level(logging.DEBUG)
    tills, kiosks = projects
    kiosks.fails_with(401, "UNAUTHENTICATED")
    send_to(tills, "tills")
    rows = send_to(kiosks, "kiosks")
    client.force_login(User.objects.create_superuser("root", password="a-long-enough-password"))

    pages = "".join(
        client.get(f"/admin/{page}").content.decode()
        for page in (
            "",
            "delivery/channel/",
            f"delivery/channel/{rows[0].channel_id}/change/",
            "delivery/providerstate/",
            f"delivery/providerstate/{ProviderState.objects.get().pk}/change/",
            "delivery/alert/",
            f"delivery/pushnotificationlog/{rows[0].pk}/change/",
        )
    )

    assert Alert.objects.get(kind="misconfigured").subject == "fcm/kiosks"
    assert "fcm/kiosks" in pages
    stored = "".join(str(values) for values in PushNotificationLog.objects.values_list())
    for project in projects:
        account = json.loads(project.service_account_file.read_bytes())
        lines = [line for line in account["private_key"].splitlines() if not line.startswith("-----")]
        for secret in (*lines, account["private_key_id"], "ya29."):
            assert secret not in pages + stored + whole_log(caplog)


def whole_log(caplog: pytest.LogCaptureFixture) -> str:
    return "".join(str(record.__dict__) + str(record.exc_info) for record in caplog.records)


def assert_no_secret(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []
