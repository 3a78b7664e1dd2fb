"""When to try again."""

import random

import pytest

from delivery.backoff import MOST_S, retry_delay_s


@pytest.mark.parametrize(
    ("attempt", "ceiling_s"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (9, 512), (10, 600), (40, 600)]
)
def test_the_delay_is_drawn_from_zero_to_a_doubling_ceiling(attempt: int, ceiling_s: float) -> None:
    source = random.Random(1)

    drawn = [retry_delay_s(attempt, base_s=2, cap_s=600, uniform=source) for _ in range(2000)]

    assert 0 <= min(drawn) < ceiling_s * 0.05
    assert ceiling_s * 0.95 < max(drawn) <= ceiling_s


def test_what_the_provider_asked_for_is_a_floor() -> None:
    assert all(retry_delay_s(1, base_s=2, cap_s=600, floor_s=30) >= 30 for _ in range(200))


def test_no_delay_is_longer_than_six_hours() -> None:
    assert retry_delay_s(1, base_s=2, cap_s=600, floor_s=10**9) == MOST_S
