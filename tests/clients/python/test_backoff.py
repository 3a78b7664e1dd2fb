"""How long an agent waits, and who may shorten that."""

import threading
import time
from random import Random

import pytest

from homepot_agent.backoff import Backoff
from homepot_agent.loops import Loop


class Steady:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("failures", "longest_s"), [(1, 1), (2, 2), (5, 16), (6, 30), (50, 30)])
def test_doubles_up_to_the_cap_and_spreads_over_the_upper_half(failures: int, longest_s: float) -> None:
    waits_s = set()
    for seed in range(50):
        backoff = Backoff(rng=Random(seed), steady=Steady())
        for _ in range(failures):
            wait_s = backoff.failed()
        waits_s.add(wait_s)

    assert longest_s / 2 <= min(waits_s) < max(waits_s) <= longest_s
    assert len(waits_s) > 40


def test_waits_at_least_as_long_as_the_server_asks() -> None:
    assert Backoff(steady=Steady()).failed(asked_s=120) == pytest.approx(120)


def test_a_network_that_is_back_shortens_our_own_caution_alone() -> None:
    own, asked = Backoff(steady=Steady()), Backoff(steady=Steady())
    own.failed()
    asked.failed(asked_s=120)

    own.hurry()
    asked.hurry()

    assert own.left_s() == 0
    assert asked.left_s() == pytest.approx(120)


def test_success_forgets_what_failed() -> None:
    backoff = Backoff(rng=Random(1), steady=Steady())
    for _ in range(6):
        backoff.failed()

    backoff.reset()

    assert backoff.left_s() == 0
    assert backoff.failed() <= 1


def test_nobody_who_rings_makes_a_loop_try_before_its_time() -> None:
    backoff, steps = Backoff(), []
    stepped = threading.Event()

    def step() -> float:
        steps.append(time.monotonic())
        stepped.set()
        return backoff.failed(asked_s=0.4)

    loop = Loop("test", step, backoff)
    loop.start()
    stepped.wait(5)
    for _ in range(5):
        loop.wake()
        loop.hurry()
        time.sleep(0.02)
    early = len(steps)
    stepped.clear()
    stepped.wait(5)
    loop.stop()
    loop.join(5)

    assert early == 1
    assert steps[1] - steps[0] >= 0.39


def test_a_loop_that_is_rung_for_steps_at_once_and_survives_a_bug() -> None:
    steps: list[str] = []

    def step() -> float:
        steps.append("step")
        if len(steps) == 1:
            raise RuntimeError("a bug")
        return 60.0

    loop = Loop("test", step)
    loop.start()
    for count in (1, 2, 3):
        deadline = time.monotonic() + 5
        while len(steps) < count and time.monotonic() < deadline:
            loop.wake()
            time.sleep(0.005)
    loop.stop()
    loop.join(5)

    assert len(steps) >= 3
