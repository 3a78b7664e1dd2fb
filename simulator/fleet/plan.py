"""Pure: which devices a fleet has. The same numbers give the same devices, so that a second run finds its own."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from simulator.fleet.device import CHANNELS, FCM, MQTT

GOLDEN, SILVER, BRONZE = 0.6180339887498949, 0.4142135623730950, 0.3027756377319946
"""Multiples of each, modulo 1, are spread evenly however many there are; and each independently of the others."""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    device_type: str
    os_details: str
    firmware_version: str

    @property
    def newest_firmware(self) -> str:
        return FIRMWARE[self.os_details][0]


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
FIRMWARE = {
    "Windows 11 IoT Enterprise": ("24H2", "23H2", "22H2"),
    "iPadOS 18.1": ("1.14.2", "1.14.0", "1.9.3"),
    "Linux, Firefox 145": ("145.0", "144.0.2", "128.5"),
    "Android 13": ("2.8.1", "2.8.0", "2.5.4"),
    "Android 12": ("3.0.4", "3.0.1", "2.9.9"),
    "AOSP 11": ("2.6.0", "2.5.2", "2.1.0"),
    "Embedded Linux 6.6": ("0.9.7", "0.9.5", "0.8.0"),
}
"""By system, the newest first."""
FIRMWARE_SHARES = (0.6, 0.9)
"""So many devices have the newest, and so many the newest or the one before; the rest was forgotten."""
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
            model=replace(model, firmware_version=_firmware(model, number * BRONZE % 1)),
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


def _firmware(model: Model, point: float) -> str:
    return FIRMWARE[model.os_details][sum(point >= share for share in FIRMWARE_SHARES)]


def _pick(weights: Mapping[str, float], point: float) -> str:
    """The channel whose share of the line from 0 to 1 holds `point`."""
    reached = 0.0
    for channel, weight in weights.items():
        reached += weight / sum(weights.values())
        if point < reached:
            return channel
    return channel
