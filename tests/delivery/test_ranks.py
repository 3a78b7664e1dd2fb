"""A device's channels in order: own ranks, a site's pin before them, a demoted channel behind."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from delivery import clocks, fanout, pins, ranks
from delivery.channels import Registered, Registration, register
from delivery.models import AuditLog, Channel, Device, Site, SitePin
from delivery.pins import NotPinned
from tests.delivery.rows import a_channel, a_device, a_job, a_site

BY = "person:tina"
pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Site:
    return a_site()


@pytest.fixture
def till(site: Site) -> Device:
    """Its ranks begin at 2 and have a gap: they are its own, not ours to tidy."""
    device = a_device(site=site)
    a_channel(device, "fcm", rank=2)
    a_channel(device, "mqtt", rank=4)
    a_channel(device, "simulation", rank=5)
    return device


def order(device: Device) -> list[str]:
    return list(
        Channel.objects.usable().filter(device=device).order_by("rank", "id").values_list("provider", flat=True)
    )


def own(device: Device) -> list[tuple[str, int, int | None]]:
    return list(Channel.objects.filter(device=device).order_by("id").values_list("provider", "rank", "own_rank"))


def pin(site: Site, provider: str) -> SitePin | NotPinned:
    return pins.pin(site, provider, by=BY, now=clocks.db_now())


def registered(device: Device, provider: str, address: str, rank: int | None = None) -> Channel:
    made = register(
        device, Registration(provider, address, rank=rank), actor="device:x", now=clocks.db_now(),
        movable=Device.objects.none(),
    )  # fmt: skip
    assert isinstance(made, Registered)
    return made.channel


def test_a_pinned_provider_comes_first_at_its_site_alone(site: Site, till: Device) -> None:
    elsewhere = a_device("till-2", site=a_site("site-2"))
    a_channel(elsewhere, "fcm", rank=0)
    a_channel(elsewhere, "mqtt", rank=1)

    pin(site, "mqtt")

    assert (order(till), order(elsewhere)) == (["mqtt", "fcm", "simulation"], ["fcm", "mqtt"])


def test_a_device_without_a_channel_of_the_pinned_provider_stays_as_it_is(site: Site, till: Device) -> None:
    other = a_device("till-2", site=site)
    a_channel(other, "fcm", rank=3)

    pin(site, "mqtt")

    assert own(other) == [("fcm", 3, None)]


def test_unpinning_gives_every_channel_its_own_rank_again(site: Site, till: Device) -> None:
    before = own(till)
    pin(site, "mqtt")
    pin(site, "simulation")

    assert pins.unpin(site, by=BY) is True

    assert own(till) == before
    assert pins.unpin(site, by=BY) is False


def test_a_provider_that_no_device_of_the_site_has_cannot_be_pinned(site: Site, till: Device) -> None:
    assert pin(site, "wns") is NotPinned.NO_CHANNEL
    assert not SitePin.objects.exists()


def test_pinning_and_unpinning_are_in_the_audit_log(site: Site, till: Device) -> None:
    pin(site, "mqtt")
    pin(site, "mqtt")
    pins.unpin(site, by=BY)

    said = AuditLog.objects.filter(object_type="site").order_by("id").values_list("actor", "action", "object_id")
    assert list(said) == [(BY, "pinned a provider", "site-1"), (BY, "unpinned a provider", "site-1")]


def test_a_device_that_registers_later_follows_the_pin(site: Site, till: Device) -> None:
    pin(site, "mqtt")
    late = a_device("till-late", site=site)
    registered(late, "fcm", "fcm-late", rank=0)

    channel = registered(late, "mqtt", "mqtt-late", rank=7)

    assert (channel.rank, channel.own_rank) == (0, 7)
    assert order(late) == ["mqtt", "fcm"]


def test_a_new_address_of_a_pinned_site_has_the_own_rank_of_the_old_one(site: Site, till: Device) -> None:
    pin(site, "mqtt")

    fresh = registered(till, "fcm", "a-new-token")

    assert (order(till), fresh.own_rank) == (["mqtt", "fcm", "simulation"], 2)
    pins.unpin(site, by=BY)
    assert order(till) == ["fcm", "mqtt", "simulation"]


def test_an_address_that_is_registered_again_keeps_its_own_rank_under_a_pin(site: Site, till: Device) -> None:
    pin(site, "mqtt")

    registered(till, "fcm", "fcm-till-1")
    pins.unpin(site, by=BY)

    assert own(till) == [("fcm", 2, None), ("mqtt", 4, None), ("simulation", 5, None)]


def test_a_rank_that_a_device_names_under_a_pin_counts_when_the_pin_ends(site: Site, till: Device) -> None:
    pin(site, "mqtt")

    named = registered(till, "fcm", "fcm-till-1", rank=9)

    assert (named.rank, named.own_rank) == (2, 9)
    pins.unpin(site, by=BY)
    assert order(till) == ["mqtt", "simulation", "fcm"]


def test_a_refused_registration_leaves_the_pin_in_force(site: Site, till: Device) -> None:
    a_channel(a_device("till-2", site=site), "fcm", address="taken")
    pin(site, "mqtt")

    register(till, Registration("fcm", "taken"), actor="device:x", now=clocks.db_now(), movable=Device.objects.none())

    assert order(till) == ["mqtt", "fcm", "simulation"]


def asked_to_write(device: Device) -> tuple[str, int]:
    """By which provider the fan-out sends to the device now, and how many questions that took."""
    with CaptureQueriesContext(connection) as asked:
        [row] = fanout.write_rows(a_job(), [device])
    return row.provider, len(asked)


def test_orders_follow_a_pin_and_ask_the_database_no_more_than_before(site: Site) -> None:
    device = a_device("kiosk", site=site)
    a_channel(device, "simulation", rank=0)
    a_channel(device, "mqtt", rank=1)
    before, queries = asked_to_write(device)

    pin(site, "mqtt")

    assert asked_to_write(device) == ("mqtt", queries)
    pins.unpin(site, by=BY)
    assert asked_to_write(device) == (before, queries) == ("simulation", queries)


def test_a_demoted_channel_comes_last_and_gets_its_rank_back(till: Device) -> None:
    before = own(till)
    fcm = Channel.objects.get(device=till, provider="fcm")
    Channel.objects.exclude(pk=fcm.pk).update(provider="simulation")
    Channel.objects.filter(device=till, rank=4).update(state="disabled")

    assert ranks.demote(fcm) is True
    assert order(till) == ["simulation", "fcm"]

    assert (ranks.promote(fcm), ranks.promote(fcm)) == (True, False)
    assert [row[1:] for row in own(till)] == [row[1:] for row in before]


def test_a_demoted_channel_comes_last_although_it_is_pinned(site: Site, till: Device) -> None:
    mqtt = Channel.objects.get(device=till, provider="mqtt")
    pin(site, "mqtt")

    ranks.demote(mqtt)

    assert order(till) == ["fcm", "simulation", "mqtt"]


def spoil_nothing(_: Device) -> None:
    """Its other channels stay as they are."""


def disable_the_others(device: Device) -> None:
    Channel.objects.filter(device=device).exclude(provider="fcm").update(state="disabled")


def demote_the_others(device: Device) -> None:
    Channel.objects.filter(device=device).exclude(provider="fcm").update(demoted=True)


def forget_the_credentials(device: Device) -> None:
    Channel.objects.filter(device=device).exclude(provider="fcm").update(credential="not-configured")


@pytest.mark.parametrize(
    ("spoil", "moved"),
    [(spoil_nothing, True), (disable_the_others, False), (demote_the_others, False), (forget_the_credentials, False)],
)
def test_no_channel_is_moved_behind_nothing(till: Device, spoil: Callable[[Device], None], moved: bool) -> None:
    spoil(till)
    fcm = Channel.objects.get(device=till, provider="fcm")

    assert ranks.demote(fcm) is moved
    assert Channel.objects.get(pk=fcm.pk).demoted is moved


def test_what_a_race_left_behind_is_settled_and_all_else_untouched(site: Site, till: Device) -> None:
    SitePin.objects.create(site=site, provider="mqtt", pinned_by=BY, pinned_at=clocks.db_now())
    bystander = a_device("till-9", site=a_site("site-9"))
    a_channel(bystander, "mqtt", rank=9)

    assert (ranks.settle_all(), ranks.settle_all()) == (3, 0)

    assert order(till) == ["mqtt", "fcm", "simulation"]
    assert own(bystander) == [("mqtt", 9, None)]
