"""Why messages did not arrive in time: each by its verdict."""

from collections.abc import Iterator
from typing import Any

from analytics.pages.asked import Asked

COLUMNS = ("verdict", "messages")


def table(asked: Asked) -> list[Any]:
    return []


def lines(asked: Asked) -> Iterator[list[Any]]:
    return iter(())
