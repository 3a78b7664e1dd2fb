"""When a measurement opens an alert, keeps it, and closes it."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.alert_rules import FORGOTTEN_AFTER, Measured, Rule, Standing, Step, judge

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
RATE = Rule(kind="site_failures", limit=0.05, enough=20)
STATE = Rule(kind="breaker_open", limit=60, of_states=True)
STANDS = Standing(last_seen_at=NOON, better_since=None)
CALM_S = 300


def better_for(seconds: float) -> Standing:
    return Standing(last_seen_at=NOON - timedelta(hours=1), better_since=NOON - timedelta(seconds=seconds))


def unseen_for(passed: timedelta) -> Standing:
    return Standing(last_seen_at=NOON - passed, better_since=None)


@pytest.mark.parametrize(
    ("measured", "standing", "step"),
    [
        (Measured(value=0.06, sample=20), None, Step.OPEN),
        (Measured(value=0.06, sample=20), STANDS, Step.OPEN),
        (Measured(value=0.06, sample=19), None, Step.NOTHING),
        (Measured(value=0.05, sample=99), None, Step.NOTHING),
        (Measured(value=0.05, sample=99), STANDS, Step.OPEN),
        (Measured(value=0.041, sample=99), STANDS, Step.OPEN),
        (Measured(value=0.041, sample=99), None, Step.NOTHING),
        (Measured(value=0.04, sample=99), STANDS, Step.BETTER),
        (Measured(value=0.0, sample=99), better_for(299), Step.NOTHING),
        (Measured(value=0.0, sample=99), better_for(300), Step.CLOSE),
        (Measured(value=0.041, sample=99), better_for(900), Step.OPEN),
        (Measured(value=1.0, sample=19), STANDS, Step.NOTHING),
        (Measured(value=0.0, sample=19), STANDS, Step.NOTHING),
        (None, STANDS, Step.NOTHING),
        (None, unseen_for(FORGOTTEN_AFTER - timedelta(seconds=1)), Step.NOTHING),
        (None, unseen_for(FORGOTTEN_AFTER), Step.CLOSE),
        (Measured(value=0.0, sample=3), unseen_for(FORGOTTEN_AFTER), Step.CLOSE),
        (None, None, Step.NOTHING),
    ],
)
def test_a_rate_that_was_counted(measured: Measured | None, standing: Standing | None, step: Step) -> None:
    assert judge(RATE, measured, standing, now=NOON, calm_s=CALM_S) is step


@pytest.mark.parametrize(
    ("measured", "standing", "step"),
    [
        (Measured(value=61), None, Step.OPEN),
        (Measured(value=60), None, Step.NOTHING),
        (None, STANDS, Step.BETTER),
        (None, better_for(300), Step.CLOSE),
        (None, None, Step.NOTHING),
    ],
)
def test_a_state_that_is_not_there_is_well(measured: Measured | None, standing: Standing | None, step: Step) -> None:
    assert judge(STATE, measured, standing, now=NOON, calm_s=CALM_S) is step


def test_a_value_that_swings_about_its_limit_opens_one_alert() -> None:
    standing, opened, closed = None, 0, 0
    for minute in range(600):
        now = NOON + timedelta(minutes=minute)
        measured = Measured(value=0.051 if minute % 2 else 0.042, sample=50)
        step = judge(RATE, measured, standing, now=now, calm_s=CALM_S)
        opened += step is Step.OPEN and standing is None
        closed += step is Step.CLOSE
        if step is Step.OPEN:
            standing = Standing(last_seen_at=now, better_since=None)

    assert (opened, closed) == (1, 0)
