"""When a provider counts as down, and how it comes back."""

import pytest

from delivery.breaker import (
    CLIMB_S,
    LONGEST_ASKED_S,
    LONGEST_WAIT_S,
    WINDOW_S,
    FailureWindow,
    RetryBudget,
    climbing_rate_per_s,
    wait_s,
)


@pytest.mark.parametrize(
    ("failed", "total", "broken"), [(3, 3, False), (8, 8, True), (50, 100, True), (49, 100, False), (0, 100, False)]
)
def test_half_of_enough_outcomes_failed(failed: int, total: int, broken: bool) -> None:
    window = FailureWindow()

    window.note(failed=failed, total=total, at_s=0.0)

    assert window.broken() is broken


def test_fifty_failures_in_a_row_outweigh_thousands_that_went_well_just_before() -> None:
    window = FailureWindow()
    window.note(failed=0, total=5_000, at_s=0.0)
    window.note(failed=40, total=40, at_s=0.1)
    before = window.broken()

    window.note(failed=10, total=10, at_s=0.2)

    assert (before, window.broken()) == (False, True)


def test_failures_with_a_success_between_are_not_in_a_row() -> None:
    window = FailureWindow()
    window.note(failed=0, total=5_000, at_s=0.0)
    window.note(failed=49, total=49, at_s=0.1)
    window.note(failed=1, total=2, at_s=0.2)
    window.note(failed=49, total=49, at_s=0.3)

    assert not window.broken()


def test_old_failures_do_not_count() -> None:
    window = FailureWindow()
    window.note(failed=100, total=100, at_s=0.0)

    window.note(failed=0, total=8, at_s=WINDOW_S + 1)

    assert window.broken() is False


def test_it_waits_longer_each_time_and_never_shorter_than_it_was_asked() -> None:
    assert [wait_s(times, []) for times in (0, 1, 2, 3, 99)] == [2, 4, 8, 10, LONGEST_WAIT_S]
    assert wait_s(0, [30.0]) == 30
    assert wait_s(0, [10.0**9]) == LONGEST_ASKED_S


def test_the_rate_climbs_from_a_tenth_to_all_within_a_minute() -> None:
    assert CLIMB_S + LONGEST_WAIT_S <= 60
    assert climbing_rate_per_s(0, 200) == pytest.approx(20)
    assert climbing_rate_per_s(CLIMB_S / 2, 200) == pytest.approx(110)
    assert climbing_rate_per_s(CLIMB_S, 200) == 200
    assert climbing_rate_per_s(CLIMB_S, None) is None


def test_repeats_are_paced_to_a_tenth_of_all_attempts_and_one_a_second() -> None:
    budget = RetryBudget()
    budget.earn(100, at_s=0.0)

    delays = [budget.spend() for _ in range(61)]

    assert delays[:11] == [0.0] * 11
    assert delays[-1] == pytest.approx(50)


def test_a_quiet_hour_does_not_save_up_a_storm() -> None:
    budget = RetryBudget()
    budget.earn(0, at_s=0.0)
    budget.earn(0, at_s=3600.0)

    delays = [budget.spend() for _ in range(200)]

    assert sum(delay == 0 for delay in delays) <= 101
