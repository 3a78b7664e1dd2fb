"""Devices straight in the database are those that HTTP would have made."""

import re
from pathlib import Path
from random import Random

import pytest

from delivery.models import Channel, Device, Site
from delivery.models.device import DEVICE_ID_PATTERN
from delivery.models.keys import key_matches
from simulator.fleet import direct, plan
from simulator.fleet.plan import Place, places
from simulator.fleet.push_services import Addresses
from simulator.fleet.roster import Roster

pytestmark = pytest.mark.django_db

FLEET = list(places(30, 3, {"mqtt": 0.5, "simulation": 0.4, "inbox": 0.1}, 0.5))
ADDRESSES = Addresses(Path("/nonexistent"), Random(1))


def test_makes_sites_devices_and_channels(roster: Roster) -> None:
    assert direct.register(FLEET, roster, ADDRESSES) == 30

    assert Site.objects.count() == 3
    assert Device.objects.reachable().count() == 30
    assert Channel.objects.usable().filter(provider="mqtt").count() == 15
    assert Channel.objects.usable().filter(provider="simulation").count() == 12


def test_every_model_gets_an_id_that_the_api_takes(roster: Roster) -> None:
    names = {model.name for models in plan.MODELS.values() for model in models}
    fleet = [Place("site-001", name, plan.KIOSK, "mqtt", acks_over_mqtt=False) for name in names]

    direct.register(fleet, roster, ADDRESSES)

    refused = [name for name in Device.objects.values_list("device_id", flat=True) if not valid_id(name)]
    assert refused == []


def valid_id(device_id: str) -> bool:
    return re.fullmatch(DEVICE_ID_PATTERN, device_id) is not None


def test_gives_devices_keys_that_the_roster_holds(roster: Roster) -> None:
    direct.register(FLEET, roster, ADDRESSES)

    identity = roster.find(FLEET[0].site_id, FLEET[0].name)
    assert identity is not None
    assert key_matches(identity.api_key, Device.objects.get(device_id=identity.device_id).key_hash)


def test_changes_nothing_the_second_time(roster: Roster, tmp_path: Path) -> None:
    direct.register(FLEET, roster, ADDRESSES)
    before = list(Device.objects.order_by("pk").values()), list(Channel.objects.order_by("pk").values())

    direct.register(FLEET, Roster(tmp_path / "fleet"), ADDRESSES)

    assert (list(Device.objects.order_by("pk").values()), list(Channel.objects.order_by("pk").values())) == before


def test_brings_the_devices_of_its_roster_into_an_empty_database(roster: Roster) -> None:
    direct.register(FLEET, roster, ADDRESSES)
    Channel.objects.all().delete()
    Device.objects.all().delete()

    direct.register(FLEET, roster, ADDRESSES)

    assert Device.objects.count() == 30
    assert Channel.objects.count() == 27
