"""Devices that are seen online and confirm nothing."""

from collections.abc import Iterator
from typing import Any

from analytics import definitions
from analytics.pages.asked import Asked
from analytics.pages.tiles import Tile

COLUMNS = ("device",)


def tile(asked: Asked) -> Tile:
    return Tile("Zombie devices", definitions.ZOMBIES, "–", "", "none")


def lines(asked: Asked) -> Iterator[list[Any]]:
    return iter(())
