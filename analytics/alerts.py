"""Open and close alerts by what was measured: twice, or twice at once, gives the same alerts.

Numbers are those of the present hour and the one before it. Some kinds are opened and closed where the fault is found:
`misconfigured` (delivery/gate.py), `guard_tripped`, `payload_rejected` (guard.py), `credential_expiring` (sweeps.py),
`worker_deaf` (homepot/consumer.py). What each kind means, and what to do: docs/alerts.md.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from analytics import measuring
from analytics.alert_rules import Rule, Standing, Step, judge
from analytics.measuring import Reading
from delivery import clocks
from delivery.models import Alert

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """A rule, and what it is judged by."""

    rule: Rule
    readings: list[Reading]


def judge_all() -> int:
    """Judge everything that is measured; how many alerts it opened or closed."""
    now = clocks.db_now()
    return sum(_judge(watch, now) for watch in watches(now))


def watches(now: datetime) -> Iterator[Watch]:
    recent = measuring.Recent(now)
    enough = settings.ALERT_MIN_SAMPLE
    yield Watch(
        Rule(kind="site_failures", limit=settings.ALERT_SITE_FAILURE_RATE, enough=enough),
        measuring.site_failures(recent, limit=settings.ALERT_SITE_FAILURE_RATE),
    )
    yield Watch(
        Rule(kind="provider_errors", limit=settings.ALERT_PROVIDER_ERROR_RATE, enough=enough),
        measuring.provider_errors(recent),
    )
    yield Watch(Rule(kind="slow_provider", limit=settings.ALERT_P95_MS, enough=enough), measuring.p95s(recent))
    yield Watch(Rule(kind="fallback", limit=settings.ALERT_FALLBACK_RATE, enough=enough), measuring.fallback(recent))
    yield Watch(
        Rule(kind="registration_failures", limit=settings.ALERT_REGISTRATION_FAILURE_RATE, enough=enough),
        measuring.registrations(now),
    )
    yield Watch(
        Rule(kind="zombies", limit=settings.ALERT_ZOMBIES - 1, of_states=True),
        measuring.zombies(limit=settings.ALERT_ZOMBIES),
    )
    yield Watch(Rule(kind="sweep_late", limit=1.0, of_states=True), measuring.late_sweeps(now))
    yield Watch(
        Rule(kind="breaker_open", limit=settings.ALERT_BREAKER_OPEN_S, of_states=True), measuring.open_breakers(now)
    )


def _judge(watch: Watch, now: datetime) -> int:
    """Every subject that was measured, and every one that an alert stands about."""
    kind = watch.rule.kind
    standing = {alert.subject: alert for alert in Alert.objects.standing().filter(kind=kind)}
    readings = {reading.subject: reading for reading in watch.readings}
    return sum(
        _step(watch.rule, subject, readings.get(subject), standing.get(subject), now)
        for subject in sorted(readings.keys() | standing.keys())
    )


def _step(rule: Rule, subject: str, reading: Reading | None, alert: Alert | None, now: datetime) -> int:
    """1 where an alert was opened or closed."""
    stands = Standing(last_seen_at=alert.last_seen_at, better_since=alert.better_since) if alert else None
    match judge(rule, reading.measured if reading else None, stands, now=now, calm_s=settings.ALERT_CALM_S):
        case Step.OPEN if reading is not None:
            return int(_open(rule.kind, reading, now))
        case Step.BETTER:
            Alert.objects.of(rule.kind, subject).note_better(now)
        case Step.CLOSE:
            closed = Alert.objects.close(rule.kind, subject, now)
            log.info("alert closed", extra={"kind": rule.kind, "subject": subject})
            return closed
        case Step.OPEN | Step.NOTHING:
            pass
    return 0


def _open(kind: str, reading: Reading, now: datetime) -> bool:
    opened = Alert.objects.open_or_repeat(
        kind, reading.subject, reading.text, now, cause=reading.cause, site_id=reading.site_id,
        provider=reading.provider,
    )  # fmt: skip
    if opened:
        log.warning("alert opened", extra={"kind": kind, "subject": reading.subject})
    return opened
