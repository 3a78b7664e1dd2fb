"""The server's time on devices whose own clocks are wrong, are set, or stand where they were left."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from homepot_agent.clock import ServerClock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
YEAR_S = 365 * 86_400.0


class Device:
    """A device's two clocks, and a server whose answers take 40 ms each way."""

    def __init__(self, wrong_by_s: float = 0.0) -> None:
        self.true_s = NOON
        self.wrong_by_s = wrong_by_s
        self.clock = ServerClock(wall=lambda: self.true_s + self.wrong_by_s, steady=lambda: self.true_s - NOON + 5_000)

    def wait(self, seconds: float) -> None:
        self.true_s += seconds

    def hear_date(self) -> None:
        asked_at = self.clock.steady_s()
        self.wait(0.04)
        date = format_datetime(datetime.fromtimestamp(int(self.true_s), UTC), usegmt=True)
        self.wait(0.04)
        self.clock.date_header(date, asked_at, self.clock.steady_s())

    def hear_heartbeat(self, old_by_s: float = 0.0) -> None:
        asked_at = self.clock.steady_s()
        self.wait(0.04)
        said = self.true_s - old_by_s
        self.wait(0.04)
        self.clock.server_said(said, asked_at, self.clock.steady_s())

    @property
    def error_s(self) -> float:
        return self.clock.now_s() - self.true_s


@pytest.mark.parametrize("wrong_by_s", [-YEAR_S, -3_600, -3, 3, 3_600, YEAR_S])
def test_one_heartbeat_is_enough_for_a_clock_that_is_wrong(wrong_by_s: float) -> None:
    device = Device(wrong_by_s)

    device.hear_heartbeat()

    assert abs(device.error_s) <= 0.04


def test_the_date_of_any_answer_is_enough_for_two_seconds() -> None:
    device = Device(YEAR_S)

    device.hear_date()

    assert abs(device.error_s) <= 2.1


@pytest.mark.parametrize("wrong_by_s", [-0.03, 0.0, 0.03])
def test_a_clock_that_the_server_agrees_with_is_left_alone(wrong_by_s: float) -> None:
    device = Device(wrong_by_s)

    for _ in range(5):
        device.hear_date()
        device.hear_heartbeat()
        device.wait(20)

    assert device.error_s == pytest.approx(wrong_by_s, abs=1e-6)


@pytest.mark.parametrize("jump_s", [-YEAR_S, -600, 600, YEAR_S])
def test_time_goes_on_when_the_clock_is_set(jump_s: float) -> None:
    device = Device()
    device.hear_heartbeat()
    before = device.clock.now_s()

    device.wrong_by_s += jump_s
    device.wait(1)

    assert device.clock.now_s() == pytest.approx(before + 1, abs=1e-6)
    assert device.clock.behind_s == pytest.approx(-jump_s, abs=0.05)


def test_what_an_earlier_run_learned_holds_before_the_server_was_heard() -> None:
    device = Device(wrong_by_s=-YEAR_S)

    device.clock.start_from(YEAR_S)

    assert device.error_s == pytest.approx(0)


def test_one_old_answer_is_not_believed() -> None:
    device = Device()
    device.hear_heartbeat()
    device.wait(20)

    device.hear_heartbeat(old_by_s=300)

    assert abs(device.error_s) <= 0.04


def test_a_first_answer_that_the_date_contradicts_is_not_believed() -> None:
    device = Device(YEAR_S)
    device.hear_date()

    device.hear_heartbeat(old_by_s=14)

    assert abs(device.error_s) <= 2.1


def test_two_answers_that_agree_are_believed() -> None:
    device = Device()
    device.hear_heartbeat()

    for _ in range(2):  # the server's clock was wrong before, not the device's
        device.wait(20)
        device.hear_heartbeat(old_by_s=-300)

    assert device.error_s == pytest.approx(300, abs=0.05)


@pytest.mark.parametrize("text", ["", "yesterday", "Sat, 99 Nov 2026 12:00:00 GMT"])
def test_a_date_that_is_none_changes_nothing(text: str) -> None:
    device = Device(60)

    device.clock.date_header(text, 0.0, 1.0)

    assert device.error_s == 60
