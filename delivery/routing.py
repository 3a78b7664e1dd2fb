"""Pure: which channel a message takes, first and next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Way:
    """A usable channel, as routing sees it."""

    channel_id: int
    provider: str
    credential: str
    rank: int


def in_order(ways: Sequence[Way], capabilities: Mapping[str, Any]) -> list[Way]:
    """The ways by rank. What the device declares comes first: without an `fcm_token` but with an `mqtt_client_id`,
    or without Google's services, MQTT goes before FCM."""
    no_fcm = (not capabilities.get("fcm_token") and bool(capabilities.get("mqtt_client_id"))) or (
        capabilities.get("has_gms") is False
    )

    def place(way: Way) -> tuple[int, int, int]:
        declared_away = no_fcm and way.provider == "fcm" and any(other.provider == "mqtt" for other in ways)
        return (1 if declared_away else 0, way.rank, way.channel_id)

    return sorted(ways, key=place)


def first_way(order: Sequence[Way], available: frozenset[tuple[str, str]]) -> Way | None:
    """The first of these ways that can carry a message now; None where none can."""
    return next((way for way in order if (way.provider, way.credential) in available), None)


def next_way(
    ways: Sequence[Way], capabilities: Mapping[str, Any], available: frozenset[tuple[str, str]], tried: int
) -> Way | None:
    """The way after the channel `tried`, never one before it: a message does not go back."""
    order = in_order(ways, capabilities)
    places = [index for index, way in enumerate(order) if way.channel_id == tried]
    rest = order[places[0] + 1 :] if places else order
    return first_way(rest, available)
