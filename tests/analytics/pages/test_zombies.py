"""Who confirms nothing, on the tile and in the list."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from analytics.models import Zombie
from delivery.clocks import db_now
from delivery.models import Site
from tests.analytics.pages.conftest import shown, signed_in
from tests.delivery.rows import a_channel, a_device, a_site


@pytest.fixture
def zombie(db: None) -> Zombie:
    now = db_now()
    till = a_device("till-1", site=a_site("berlin"))
    return Zombie.objects.create(
        device=till, channel=a_channel(till), site=till.site, provider="simulation", found_at=now, last_seen=now,
        pushes=4, first_push_at=now - timedelta(hours=2), rung_at=now,
    )  # fmt: skip


def test_the_tile_leads_to_those_that_are_zombies_now(admin: Client, zombie: Zombie) -> None:
    a_device("till-2", site=zombie.site)
    page = shown(admin, "/admin/")

    assert '<p class="figure"><a href="/admin/analytics/zombie/?standing=1">1</a>' in page
    assert "1 zombie," in shown(admin, "/admin/analytics/zombie/?standing=1")
    assert "0 zombies," in shown(admin, "/admin/analytics/zombie/?standing=0")


def test_a_zombie_leads_to_its_messages_and_says_how_far_its_healing_is(admin: Client, zombie: Zombie) -> None:
    page = shown(admin, f"/admin/analytics/zombie/{zombie.pk}/change/")

    assert "?device=till-1&amp;under=simulation&amp;from=" in page
    assert ">found<" in page


def test_a_technician_sees_the_zombies_of_their_sites_alone(technician: User, zombie: Zombie) -> None:
    Site.objects.create(site_id="rome").technicians.add(technician)
    client = signed_in(technician)

    assert 'zombie/?standing=1">0</a>' in shown(client, "/admin/")
    assert client.get(f"/admin/analytics/zombie/{zombie.pk}/change/").status_code in (302, 403)
