"""Pure parts of the pages."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.pages import grid, uplink
from analytics.pages.tiles import percent
from analytics.pages.uplink import Gap

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("spans", "gaps"),
    [
        ([], []),
        ([(0, 60)], []),
        ([(0, 20), (40, 60)], [(20, 40)]),
        ([(0, 20), (10, 45), (40, 60)], []),
        ([(0, 20), (21.9, 60)], []),
        ([(0, 50)], [(50, None)]),
        ([(0, 30), (5, 10), (40, 60)], [(30, 40)]),
        ([(-90, -60), (30, 60)], [(0, 30)]),
    ],
)
def test_a_site_is_silent_while_none_of_its_devices_is_seen(
    spans: list[tuple[float, float]], gaps: list[tuple[float, float | None]]
) -> None:
    found = uplink.gaps([(at(a), at(b)) for a, b in spans], at(0), at(60))

    assert found == [Gap(at(a), None if b is None else at(b)) for a, b in gaps]


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0.0"), (440, "0.4"), (9_949, "9.9"), (9_950, "10"), (42_000, "42"), (999_000, "999"), (1_020_000, "17m"),
     (10_800_000, "3h"), (2_419_200_000, "28d")],
)  # fmt: skip
def test_a_cell_has_room_for_four_characters(ms: float, text: str) -> None:
    assert grid.short_seconds(ms) == text
    assert len(text) <= 4


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (9_949, "9.9k"), (9_999, "10k"), (999_400, "999k"), (2_500_000, "2.5M")],
)
def test_large_counts_are_shortened(number: int, text: str) -> None:
    assert grid.short_count(number) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0, "0.0 %"), (0.00001, "0.1 %"), (0.5, "50.0 %"), (0.99999, "99.9 %"), (1, "100.0 %")],
)
def test_all_and_nothing_are_said_of_all_and_nothing_alone(share: float | None, text: str) -> None:
    assert percent(share) == text
