"""Callers of every kind, over real HTTP requests through Django's whole middleware."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection
from knox.models import AuthToken
from rest_framework.test import APIClient

from delivery.models import ApiKey, Device, Site
from delivery.models.keys import key_hash
from tests import servers

BOOTSTRAP_KEY = "bootstrap-key-of-the-test-site"
PASSWORD = "a-long-enough-password"


@pytest.fixture
def fresh_counters(db: None, redis_server: servers.Redis) -> None:
    """Rate limits count from zero."""
    caches["default"].clear()
    caches["local"].clear()


@pytest.fixture
def site(fresh_counters: None) -> Site:
    return Site.objects.create(site_id="berlin-1", name="Berlin 1", bootstrap_key_hash=key_hash(BOOTSTRAP_KEY))


@pytest.fixture
def other_site(fresh_counters: None) -> Site:
    return Site.objects.create(site_id="hamburg-1", name="Hamburg 1", bootstrap_key_hash=key_hash("another-key"))


@pytest.fixture
def make_device() -> Callable[..., Device]:
    def make(device_id: str, site: Site | None = None, key: str = "", owner: User | None = None) -> Device:
        return Device.objects.create(
            device_id=device_id, name=device_id, site=site, owner=owner, key_hash=key_hash(key) if key else ""
        )

    return make


@pytest.fixture
def device(site: Site, make_device: Callable[..., Device]) -> Device:
    return make_device("till-1", site, key="key-of-till-1")


@pytest.fixture
def anybody(fresh_counters: None) -> APIClient:
    return APIClient()


@pytest.fixture
def as_device(device: Device) -> APIClient:
    return device_client(device.device_id, "key-of-till-1")


@pytest.fixture
def technician(site: Site) -> User:
    person = User.objects.create_user("tina", password=PASSWORD)
    site.technicians.add(person)
    return person


@pytest.fixture
def as_technician(technician: User) -> APIClient:
    return person_client(technician)


@pytest.fixture
def customer(fresh_counters: None) -> User:
    return User.objects.create_user("carl", password=PASSWORD)


@pytest.fixture
def as_customer(customer: User) -> APIClient:
    return person_client(customer)


@pytest.fixture
def as_backend(fresh_counters: None) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.objects.issue('tests', ['devices:read', 'devices:write'])}")
    return client


def device_client(device_id: str, key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_X_DEVICE_ID=device_id, HTTP_X_API_KEY=key)
    return client


def person_client(person: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {AuthToken.objects.create(user=person)[1]}")
    return client


@pytest.fixture
def run_at_once() -> Callable[[int, Callable[[], Any]], list[Any]]:
    """Calls the same thing in that many threads, each with a database connection of its own."""

    def run(times: int, act: Callable[[], Any]) -> list[Any]:
        start = threading.Barrier(times)

        def one(_: int) -> Any:
            try:
                start.wait(10)
                return act()
            finally:
                connection.close()

        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(one, range(times)))

    return run
