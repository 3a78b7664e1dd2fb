"""What answers outside the API's own views: errors, health, documentation."""

import re
from pathlib import Path
from typing import NoReturn

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from pytest_django import Settings
from rest_framework.request import Request

from analytics.metrics import forget
from delivery import clocks
from delivery.api.base import ApiView
from delivery.models import LastRun
from homepot import urls
from tests import servers
from tests.delivery.rows import messages

handler500 = urls.handler500


def broken(request: HttpRequest) -> NoReturn:
    raise RuntimeError("secret")


def without_database(request: HttpRequest) -> NoReturn:
    raise OperationalError("gone")


class BrokenView(ApiView):
    def get(self, request: Request) -> NoReturn:
        raise RuntimeError("secret")


class WithoutDatabaseView(ApiView):
    def get(self, request: Request) -> NoReturn:
        raise InterfaceError("gone")


urlpatterns = [
    path("api/broken", broken),
    path("api/v1/broken", BrokenView.as_view()),
    path("api/without-database", without_database),
    path("api/v1/without-database", WithoutDatabaseView.as_view()),
]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "address", ["/api/", "/api/v1/nothing", "/api/v1/jobs/", "/api/v2/jobs", "/api/v1/agent/%00/status"]
)
def test_an_address_that_leads_nowhere_is_404_as_json(
    client: Client, settings: Settings, address: str, debug: bool
) -> None:
    settings.DEBUG = debug

    response = client.get(address)

    assert response.status_code == 404
    assert response.json() == {"detail": "Not found", "status_code": 404}


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_an_address_that_leads_nowhere_is_404_for_every_method(method: str) -> None:
    client = Client(enforce_csrf_checks=True)

    response = getattr(client, method)("/api/v1/jobs/job-1/blow-up")

    assert response.status_code == 404
    assert response.json() == {"detail": "Not found", "status_code": 404}


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("address", ["/api/broken", "/api/v1/broken"])
def test_a_bug_is_500_as_json_and_says_nothing_of_itself(
    client: Client, settings: Settings, redis_server: servers.Redis, address: str, debug: bool
) -> None:
    settings.ROOT_URLCONF, settings.DEBUG = __name__, debug

    response = client.get(address)

    assert response.status_code == 500
    assert response.json() == {"detail": "A fault of ours. It is in the log.", "status_code": 500}


@pytest.mark.parametrize("address", ["/api/without-database", "/api/v1/without-database"])
def test_a_database_that_is_away_is_503_with_retry_after(
    client: Client, settings: Settings, redis_server: servers.Redis, address: str
) -> None:
    settings.ROOT_URLCONF = __name__

    response = client.get(address)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.json()["detail"].startswith("The database is away")
    assert response.json()["status_code"] == 503


def test_a_host_that_is_not_ours_is_400_as_json(client: Client) -> None:
    response = client.get("/api/v1/jobs", headers={"Host": "evil.example"})

    assert response.status_code == 400
    assert response.json()["status_code"] == 400


def test_is_alive_whatever_it_stands_on(client: Client) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.post("/livez").status_code == 405


READY = dict.fromkeys(("status", "database", "broker", "migrations", "consuming", "sweeps"), "ok")


@pytest.mark.django_db
def test_is_ready_when_all_it_stands_on_is_and_workers_work(client: Client, redis_server: servers.Redis) -> None:
    LastRun.objects.note("delivery.rehint", clocks.db_now())

    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == READY


@pytest.mark.django_db
def test_is_not_ready_while_nobody_takes_what_is_due(client: Client, redis_server: servers.Redis) -> None:
    LastRun.objects.note("delivery.rehint", clocks.db_now())
    messages(1, age_s=60)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert re.fullmatch(r"not ready: push\.simulation waits for 6\d s", response.json()["consuming"])
    assert {**response.json(), "consuming": "ok", "status": "ok"} == READY


@pytest.mark.django_db
def test_is_not_ready_while_no_sweep_runs(client: Client, redis_server: servers.Redis) -> None:
    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {**READY, "sweeps": "not ready", "status": "not ready"}


@pytest.mark.django_db
def test_tells_prometheus_what_waits_and_when_sweeps_ran(client: Client) -> None:
    LastRun.objects.note("delivery.rehint", clocks.db_now())
    messages(1, age_s=60)

    forget()
    page = client.get("/metrics").content.decode()

    assert re.search(r'^homepot_oldest_due_seconds\{queue="push\.simulation"\} 6\d\.', page, re.MULTILINE)
    assert re.search(r'^homepot_sweep_age_seconds\{sweep="delivery\.rehint"\} \d', page, re.MULTILINE)


@pytest.mark.django_db
def test_gives_numbers_to_prometheus(client: Client) -> None:
    response = client.get("/metrics")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    assert b"homepot_hints_lost" in response.content


@pytest.mark.parametrize("address", ["/api/docs/", "/api/docs/?script="])
def test_the_documentation_has_nothing_inline(client: Client, address: str) -> None:
    response = client.get(address)

    page = response.content.decode()
    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    assert all(source.startswith("/") for source in re.findall(r'(?:src|href)="([^"]*)"', page))


def test_the_schema_is_generated_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", file=str(tmp_path / "schema.yml"), validate=True, fail_on_warn=True)


def test_the_schema_names_every_address(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()

    assert set(schema["paths"]["/api/v1/agent/heartbeat"]) == {"post"}
    assert {"deviceId", "deviceKey", "bearer", "session"} <= set(schema["components"]["securitySchemes"])
    assert django_settings.SPECTACULAR_SETTINGS["TITLE"] == schema["info"]["title"]
