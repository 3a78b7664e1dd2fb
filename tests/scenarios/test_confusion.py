"""The comparison itself: each kind of mistake is seen."""

import pytest

from tests.scenarios.confusion import NONE, Judged, compare, matrix

IN_TIME = Judged(hurt=False, late=False, in_time=True, verdict=NONE)


def hurt(verdict: str, *, late: bool = False) -> Judged:
    return Judged(hurt=True, late=late, in_time=False, verdict=verdict)


def test_what_arrived_in_time_is_not_compared() -> None:
    result = compare("cut", "uplink_down", [IN_TIME] * 300 + [hurt("uplink_down")] * 500)

    assert (result.messages, result.compared, result.right) == (800, 500, 500)
    assert result.problems == []


@pytest.mark.parametrize(
    ("others", "problems"),
    [
        ([hurt("unknown")] * 5, []),
        ([hurt("unknown")] * 6, ["494 of 500 right"]),
        ([hurt("device_offline")], ["1 called by another cause"]),
        ([hurt(NONE)], ["1 called by another cause"]),
        ([Judged(hurt=False, late=False, in_time=False, verdict="uplink_down")], ["1 called by another cause"]),
    ],
)
def test_another_cause_is_worse_than_none(others: list[Judged], problems: list[str]) -> None:
    result = compare("cut", "uplink_down", [hurt("uplink_down")] * (500 - len(others)) + others)

    assert result.problems == problems


def test_too_few_messages_prove_nothing() -> None:
    assert compare("cut", "uplink_down", [hurt("uplink_down")] * 499).problems == [
        "499 messages to compare, 500 are needed"
    ]


def test_what_came_late_is_late_whatever_was_done() -> None:
    result = compare("cut", "uplink_down", [hurt("uplink_down")] * 499 + [hurt("too_late", late=True)])

    assert (result.right, result.wrong) == (500, 0)


def test_where_all_should_arrive_any_verdict_is_wrong() -> None:
    result = compare("clocks", NONE, [IN_TIME] * 599 + [hurt("unknown")])

    assert (result.right, result.unknown) == (599, 1)


def test_the_matrix_marks_what_is_right() -> None:
    text = matrix([compare("cut", "uplink_down", [hurt("uplink_down")] * 3 + [hurt("unknown")])])

    assert text.splitlines()[-1].split() == ["cut", "[3]", "1"]
