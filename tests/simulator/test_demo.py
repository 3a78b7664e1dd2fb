"""`manage.py demo`."""

import stat
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from delivery.models import ApiKey, Site
from delivery.models.keys import key_hash, key_matches

pytestmark = pytest.mark.django_db

SECRETS = ("bootstrap-key", "admin-password", "api-key")


def demo(var: Path, sites: int = 3) -> dict[str, str]:
    call_command("demo", sites=sites, var=var, verbosity=0)
    return {name: (var / name).read_text().strip() for name in SECRETS}


def test_makes_sites_an_admin_and_keys_that_work(tmp_path: Path) -> None:
    secrets = demo(tmp_path)

    sites = list(Site.objects.order_by("site_id"))
    assert [site.site_id for site in sites] == ["site-001", "site-002", "site-003"]
    assert all(key_matches(secrets["bootstrap-key"], site.bootstrap_key_hash) for site in sites)
    assert get_user_model().objects.get(username="admin").check_password(secrets["admin-password"])
    assert ApiKey.objects.valid().filter(key_hash=key_hash(secrets["api-key"])).exists()


def test_keeps_keys_and_password_for_their_owner_alone(tmp_path: Path) -> None:
    demo(tmp_path)

    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in SECRETS} == {0o600}


def test_keeps_what_is_there_and_adds_what_is_missing(tmp_path: Path) -> None:
    before = demo(tmp_path, sites=2)
    Site.objects.filter(site_id="site-001").update(name="Renamed")

    after = demo(tmp_path, sites=3)

    assert after == before
    assert Site.objects.get(site_id="site-001").name == "Renamed"
    assert Site.objects.count() == 3
    assert ApiKey.objects.count() == 1


def test_takes_a_password_that_stands_there_already(tmp_path: Path) -> None:
    (tmp_path / "admin-password").write_text("chosen before the database\n")

    demo(tmp_path)

    assert get_user_model().objects.get(username="admin").check_password("chosen before the database")


def test_replaces_an_api_key_that_the_database_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("of another database\n")

    secrets = demo(tmp_path)

    assert secrets["api-key"] != "of another database"
    assert ApiKey.objects.valid().filter(key_hash=key_hash(secrets["api-key"])).exists()
