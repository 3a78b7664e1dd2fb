"""Pages to read as people do: by their links, and by the lists behind them."""

import re
from collections.abc import Iterator
from html import unescape
from random import Random
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from analytics import rollups
from analytics.counting import HOUR
from delivery import clocks
from delivery.models import Site
from tests.analytics import record
from tests.delivery.conftest import broker

__all__ = ["broker"]

BACKEND = "django.contrib.auth.backends.ModelBackend"
LINK = re.compile(r'<a href="(/admin/delivery/pushnotificationlog/\?[^"]*)"[^>]*>([^<]*)</a>')
CELL = re.compile(r'<a href="([^"]*)" aria-label="[^"]*?: ([\d ]+) messages')


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


@pytest.fixture
def admin(db: None) -> Client:
    return signed_in(User.objects.create_superuser("ada"))


@pytest.fixture
def technician(db: None) -> User:
    user = User.objects.create_user("tom", is_staff=True)
    wanted = Permission.objects.filter(content_type__app_label="delivery", codename__regex="^(view|change)_")
    user.user_permissions.set(wanted)
    return user


@pytest.fixture
def day(db: None) -> None:
    """Messages in every state of the last hours, at two sites and at none, counted."""
    now = clocks.db_now()
    record.random_day(Random(7), rollups.hour_of(now) - 2 * HOUR, 3, 120)
    rollups.roll_up()


def shown(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def figures(page: str) -> Iterator[tuple[str, int]]:
    """Each count that leads to messages: the link, and the count; those of cells, too."""
    for url, text in LINK.findall(page):
        number = text.replace(" ", "")
        if number.isdecimal():
            yield unescape(url), int(number)
    for url, text in CELL.findall(page):
        yield unescape(url), int(text.replace(" ", ""))


def listed(client: Client, url: str) -> int:
    """How many messages the list says it holds."""
    found = re.search(r"<span>([\d ]+) messages?, newest first", shown(client, url))
    assert found is not None, url
    return int(found[1].replace(" ", ""))


def asked(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


@pytest.fixture
def sites(day: None) -> list[Site]:
    return list(Site.objects.order_by("site_id"))
