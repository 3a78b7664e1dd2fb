"""The portal's pages and files as a browser gets them, before it runs any of them."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

PASSWORD = "correct horse battery"
INLINE = re.compile(rb"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", re.IGNORECASE)


@pytest.fixture
def person(db: None) -> User:
    """Nobody's technician, and no staff."""
    return User.objects.create_user("ana", password=PASSWORD)


def test_who_is_not_signed_in_is_asked_to(client: Client) -> None:
    response = client.get("/portal/")

    assert (response.status_code, response.headers["Location"]) == (302, "/portal/sign-in/?next=/portal/")


def test_any_person_signs_in_and_out(client: Client, person: User) -> None:
    signed_in = client.post("/portal/sign-in/?next=/portal/", {"username": "ana", "password": PASSWORD})
    page = client.get("/portal/")
    signed_out = client.post("/portal/sign-out/")

    assert (signed_in.status_code, signed_in.headers["Location"]) == (302, "/portal/")
    assert f'data-person="{person.pk}"' in page.content.decode()
    assert (signed_out.status_code, client.get("/portal/").status_code) == (302, 302)


def test_a_wrong_password_is_said(client: Client, person: User) -> None:
    response = client.post("/portal/sign-in/", {"username": "ana", "password": "wrong"})

    assert response.status_code == 200
    assert "Please enter a correct username and password" in response.content.decode()


def test_a_sign_in_leads_nowhere_else(client: Client, person: User) -> None:
    response = client.post(
        "/portal/sign-in/", {"username": "ana", "password": PASSWORD, "next": "https://evil.example/"}
    )

    assert response.headers["Location"] == "/portal/"


@pytest.mark.parametrize("address", ["/portal/", "/portal/sign-in/"])
def test_pages_keep_to_the_strict_policy(client: Client, person: User, address: str) -> None:
    if address == "/portal/":
        client.force_login(person)

    response = client.get(address)

    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert INLINE.search(response.content) is None


def test_a_page_with_a_token_in_it_is_not_kept_by_caches(client: Client, person: User) -> None:
    client.force_login(person)

    assert "no-store" in client.get("/portal/").headers["Cache-Control"]


def test_the_worker_may_serve_the_portal_under_a_policy_of_its_own(client: Client) -> None:
    response = client.get("/static/portal/service-worker.js")
    response.close()

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/javascript")
    assert response.headers["Service-Worker-Allowed"] == "/portal/"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_every_file_that_the_portal_names_is_served(client: Client, person: User) -> None:
    folder = Path(settings.BASE_DIR) / "clients" / "web" / "portal"
    client.force_login(person)
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/portal/").content.decode()))
    imported = {
        f"/static/portal/{name}"
        for file in folder.glob("*.js")
        for name in re.findall(r'from "\./(.+?)"', file.read_text())
    }

    statuses = {}
    for address in named | imported:
        response = client.get(address)
        response.close()
        statuses[address] = response.status_code

    assert statuses == dict.fromkeys(named | imported, 200)
    assert len(named) >= 4
    assert len(imported) >= 4
