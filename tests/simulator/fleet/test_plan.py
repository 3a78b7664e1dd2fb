"""Which devices a fleet has."""

from collections import Counter

import pytest

from simulator.fleet.plan import places, read_channels

CHANNELS = {"mqtt": 0.5, "simulation": 0.4, "inbox": 0.1}


def test_gives_the_same_devices_again_and_only_adds_when_more_are_wanted() -> None:
    few, many = list(places(50, 10, CHANNELS, 0.5)), list(places(80, 10, CHANNELS, 0.5))

    assert many[:50] == few


def test_never_gives_a_site_two_devices_of_one_name() -> None:
    named = Counter((place.site_id, place.name) for place in places(1_000, 7, CHANNELS, 0.5))

    assert max(named.values()) == 1


def test_spreads_devices_evenly_over_sites_and_channels() -> None:
    fleet = list(places(300, 10, CHANNELS, 0.5))

    assert set(Counter(place.site_id for place in fleet).values()) == {30}
    assert Counter(place.channel for place in fleet) == {"mqtt": 150, "simulation": 120, "inbox": 30}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 250), (1.0, 500)])
def test_lets_the_wanted_share_of_mqtt_devices_ack_over_mqtt(share: float, expected: int) -> None:
    fleet = list(places(1_000, 10, CHANNELS, share))

    assert sum(place.acks_over_mqtt for place in fleet) == pytest.approx(expected, abs=10)
    assert not any(place.acks_over_mqtt for place in fleet if place.channel != "mqtt")


def test_reads_weights_of_channels() -> None:
    assert read_channels("mqtt:3, inbox") == {"mqtt": 3.0, "inbox": 1.0}


@pytest.mark.parametrize("text", ["", "smoke:1", "mqtt:x", "mqtt:-1", "mqtt:0", "mqtt:nan", "mqtt:inf"])
def test_refuses_channels_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError):
        read_channels(text)


def test_half_of_the_fcm_devices_have_a_fallback_and_no_others() -> None:
    fleet = list(places(1_000, 10, {"fcm": 0.5, "apns": 0.5}, 0.5))

    assert sum(place.mqtt_fallback for place in fleet) == pytest.approx(250, abs=10)
    assert not any(place.mqtt_fallback for place in fleet if place.channel != "fcm")
