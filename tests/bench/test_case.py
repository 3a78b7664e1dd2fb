"""What a measurement says of itself: medians, and ratios within one run."""

from bench.case import Case, Failed, Figures, Measured
from bench.stage import Stage


def never(_stage: Stage) -> Figures:
    raise AssertionError


CASE = Case(name="fast", sentence="", unit="msg/s", peer="slow", limit="light", measure=never)


def test_gives_ratios_of_the_same_run_and_not_of_medians() -> None:
    runs = [Figures(100, 200, {}, 10), Figures(300, 1000, {}, 20), Figures(900, 1000, {}, 300)]

    said = Measured(CASE, runs).as_json()

    assert said == {
        "name": "fast",
        "value": 300,
        "unit": "msg/s",
        "peer": "slow",
        "peer_value": 20,
        "limit": "light",
        "limit_value": 1000,
        "ratio_to_peer": 10,
        "share_of_limit": 0.5,
        "others": [],
    }


def test_names_each_other_peer_with_how_many_times_as_fast_the_case_was() -> None:
    runs = [Figures(100, 1, {}, others={"usual": 50.0}), Figures(300, 1, {}, others={"usual": 100.0})]

    measured = Measured(CASE, runs)

    assert measured.others == [{"name": "usual", "value": 75.0, "ratio": 2.5}]
    assert measured.other_lines() == [" " * 25 + "2.50 x usual (75)"]


def test_says_so_of_a_peer_that_is_not_here() -> None:
    measured = Measured(CASE, [Figures(100, 1, {}, others={"usual": None})])

    assert measured.others == [{"name": "usual", "value": None, "ratio": None}]
    assert measured.other_lines() == [" " * 25 + "usual: not here"]


def test_a_failed_row_has_its_reason_and_no_figure() -> None:
    failed = Failed(CASE, "AssertionError: 5 messages were sent, and 4 came")

    assert failed.as_json() == {
        "name": "fast",
        "unit": "msg/s",
        "error": "AssertionError: 5 messages were sent, and 4 came",
    }
    assert failed.lines() == ["fast" + " " * 21 + "ERROR AssertionError: 5 messages were sent, and 4 came"]
