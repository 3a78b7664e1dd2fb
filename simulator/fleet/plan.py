"""Pure: which devices a fleet has. The same numbers give the same devices, so that a second run finds its own."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simulator.fleet.device import CHANNELS, FCM, MQTT

GOLDEN, SILVER = 0.6180339887498949, 0.4142135623730950
"""Multiples of either, modulo 1, are spread evenly however many there are; and each independently of the other."""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    device_type: str
    os_details: str
    firmware_version: str


KIOSK = Model("Kiosk", "kiosk", "Windows 11 IoT Enterprise", "24H2")
TABLET = Model("Tablet", "tablet", "iPadOS 18.1", "1.14.2")
BROWSER = Model("Manager's browser", "browser", "Linux, Firefox 145", "145.0")
ANDROIDS = (
    Model("Till", "pos_terminal", "Android 13", "2.8.1"),
    Model("Kitchen display", "display", "Android 12", "3.0.4"),
)
WITHOUT_GOOGLE = (
    Model("Till", "pos_terminal", "AOSP 11", "2.6.0"),
    Model("Fridge sensor", "sensor", "Embedded Linux 6.6", "0.9.7"),
)
MODELS = {
    FCM: ANDROIDS,
    "apns": (TABLET,),
    "wns": (KIOSK,),
    "web_push": (BROWSER,),
    MQTT: WITHOUT_GOOGLE,
    "simulation": (*ANDROIDS, KIOSK, TABLET),
    "inbox": WITHOUT_GOOGLE,
}
"""By channel: what its devices are."""
FALLBACK_SHARE = 0.5
"""Of the FCM devices: those that listen on MQTT, too."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device is meant to stand, before it has an identity."""

    site_id: str
    name: str
    model: Model
    channel: str
    acks_over_mqtt: bool
    mqtt_fallback: bool = False


def site_name(number: int) -> str:
    return f"site-{number:03d}"


def places(devices: int, sites: int, channels: Mapping[str, float], mqtt_acks: float) -> Iterator[Place]:
    """Device after device, dealt out to the sites. `channels` are weights, `mqtt_acks` a share of the MQTT devices."""
    for number in range(devices):
        channel = _pick(channels, number * GOLDEN % 1)
        model = MODELS[channel][number // sites % len(MODELS[channel])]
        yield Place(
            site_id=site_name(number % sites + 1),
            name=f"{model.name} {number // sites + 1}",
            model=model,
            channel=channel,
            acks_over_mqtt=channel == MQTT and number * SILVER % 1 < mqtt_acks,
            mqtt_fallback=channel == FCM and number * SILVER % 1 < FALLBACK_SHARE,
        )


def read_channels(text: str) -> dict[str, float]:
    """`fcm:0.5,mqtt:0.4,inbox:0.1` as weights; `ValueError` says what is wrong with another text."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        channel, _, weight = part.strip().partition(":")
        if channel not in CHANNELS:
            raise ValueError(f"'{channel}' is none of {', '.join(CHANNELS)}")
        weights[channel] = float(weight or 1)
    if min(weights.values()) < 0 or not 0 < sum(weights.values()) < math.inf:
        raise ValueError("the weights must be numbers from 0 on, and one of them more than 0")
    return weights


def _pick(weights: Mapping[str, float], point: float) -> str:
    """The channel whose share of the line from 0 to 1 holds `point`."""
    reached = 0.0
    for channel, weight in weights.items():
        reached += weight / sum(weights.values())
        if point < reached:
            return channel
    return channel
