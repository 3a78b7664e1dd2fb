"""`/metrics`: what the record says, the same from every process, and what processes count themselves.

Counters of attempts and latency begin anew at 00:00 UTC, which Prometheus takes for a restart: so one answer sums a
day of rollups at most, whatever the age of the record. The list of all: docs/metrics.md.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from analytics import health, latency
from analytics.health import Numbers
from analytics.models import RollupState, Zombie
from delivery import clocks
from delivery.models import Alert, Connectivity, ProviderState, PushNotificationLog
from delivery.models.provider_state import Breaker
from homepot import metrics
from homepot.health import measure

log = logging.getLogger(__name__)

FRESH_FOR_S = 5.0
"""Whoever asks sooner gets the same answer again: nobody proves who they are here, and each costs queries."""
MOST_DUE = 100_000
"""Due rows of one credential are counted up to here."""
STEPS = range(3, 23)
"""The histogram's steps are the octaves 2^3 to 2^22 ms (8 ms to 70 min): edges of our own buckets, so that they are
exact."""


class Record(Collector):
    """What the database knows."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("homepot_database_up", "1 where the database answered these questions, else 0")
        try:
            found = [*_of_today(), *_of_a_day(), *_of_providers(), *_of_now()]
        except DatabaseError as error:
            log.warning("no metrics of the record", extra={"why": type(error).__name__})
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


def _of_today() -> Iterator[Metric]:
    now = clocks.db_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    by_provider = _by_provider(midnight, now)
    attempts = CounterMetricFamily(
        "homepot_attempts", "Attempts by provider and outcome, since 00:00 UTC", labels=["provider", "outcome"]
    )
    retries = CounterMetricFamily(
        "homepot_retries", "Attempts that were not the first of their message, since 00:00 UTC", labels=["provider"]
    )
    for provider, numbers in by_provider.items():
        for outcome, count in {"accepted": numbers["accepted"], **numbers.refused}.items():
            attempts.add_metric([provider, outcome], count)
        retries.add_metric([provider], numbers["retries"])
    yield attempts
    yield retries
    yield _histogram(
        "homepot_latency_seconds", "From sent to received, in time, since 00:00 UTC", by_provider, "latency"
    )
    yield _histogram(
        "homepot_handoff_seconds", "How long accepted attempts took, since 00:00 UTC", by_provider, "taken"
    )


def _histogram(name: str, text: str, by_provider: dict[str, Numbers], part: str) -> Metric:
    family = HistogramMetricFamily(name, f"{text}, since 00:00 UTC", labels=["provider"])
    for provider, numbers in by_provider.items():
        counted = numbers.times.get(part, {})
        sum_s = sum(held[1] for held in counted.values()) / 1000
        family.add_metric([provider], list(cumulative(counted)), sum_s)
    return family


def cumulative(counted: latency.Histogram) -> Iterator[tuple[str, float]]:
    """(upper bound in seconds, how many took no longer). Whole ms are counted: under 8 ms is 7 ms at most."""
    by_bucket = {int(number): held[0] for number, held in counted.items()}
    for step in STEPS:
        below = sum(count for number, count in by_bucket.items() if number <= step * latency.PER_OCTAVE)
        yield str((2**step - 1) / 1000), below
    yield "+Inf", sum(by_bucket.values())


def _of_a_day() -> Iterator[Metric]:
    """Not counters: a late ack takes a message out of `expired` again."""
    now = clocks.db_now()
    messages = GaugeMetricFamily(
        "homepot_messages", "Messages of the last 24 hours; the states sum to what was ordered",
        labels=["provider", "state"],
    )  # fmt: skip
    fallback = GaugeMetricFamily(
        "homepot_messages_fallback", "Of the last 24 hours, moved on from their first provider", labels=["provider"]
    )
    for provider, numbers in _by_provider(now - timedelta(hours=23), now).items():
        for state, count in numbers.states.items():
            messages.add_metric([provider, state], count)
        fallback.add_metric([provider], numbers["fallback"])
    yield messages
    yield fallback


def _by_provider(first: datetime, now: datetime) -> dict[str, Numbers]:
    found = health.everywhere(first, now + timedelta(hours=1), "provider")
    return {provider: numbers for (provider,), numbers in sorted(found.items(), key=lambda item: item[0])}


def _of_providers() -> Iterator[Metric]:
    labels = ["provider", "credential"]
    breaker = GaugeMetricFamily("homepot_breaker", "1 for the state that it is in", labels=[*labels, "state"])
    rate = GaugeMetricFamily("homepot_rate_limit_per_second", "Sends allowed, where limited", labels=labels)
    for state in ProviderState.objects.order_by("provider", "credential"):
        for each in Breaker.values:
            breaker.add_metric([state.provider, state.credential, each], float(state.state == each))
        if state.rate_per_s is not None:
            rate.add_metric([state.provider, state.credential], state.rate_per_s)
    due = GaugeMetricFamily("homepot_due_messages", f"Due now and not claimed, up to {MOST_DUE}", labels=labels)
    now = clocks.db_now()
    for provider, credential in sorted(PushNotificationLog.objects.waited_for()):
        rows = PushNotificationLog.objects.due(now).filter(provider=provider, credential=credential)
        due.add_metric([provider, credential], rows[:MOST_DUE].count())
    yield from (breaker, rate, due)


def _of_now() -> Iterator[Metric]:
    alerts = GaugeMetricFamily("homepot_open_alerts", "Alerts that stand open, by kind", labels=["kind"])
    kinds: Iterable[tuple[str, int]] = (
        Alert.objects.filter(closed_at=None).values_list("kind").annotate(Count("pk")).order_by("kind")
    )
    for kind, count in kinds:
        alerts.add_metric([kind], count)
    online = GaugeMetricFamily("homepot_devices_online", "Devices heard within two minutes")
    online.add_metric([], Connectivity.objects.filter(closed_at=None).count())
    zombies = GaugeMetricFamily(
        "homepot_zombies", "Channels that confirm nothing though their device is online", labels=["provider"]
    )
    standing: Iterable[tuple[str, int]] = (
        Zombie.objects.standing().values_list("provider").annotate(Count("pk")).order_by("provider")
    )
    for provider, count in standing:
        zombies.add_metric([provider], count)
    yield from (alerts, zombies, online)
    looked_at = RollupState.objects.looked_at()
    if looked_at is not None:
        age = GaugeMetricFamily("homepot_rollup_age_seconds", "Since the hourly numbers were brought up to date")
        age.add_metric([], max(0.0, (clocks.db_now() - looked_at).total_seconds()))
        yield age


_registry = CollectorRegistry()
_registry.register(Record())
_lock = threading.Lock()
_last: tuple[float, bytes] = (float("-inf"), b"")


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    record = of_record()
    return HttpResponse(metrics.of_processes() + record, content_type=CONTENT_TYPE_LATEST)


def of_record() -> bytes:
    """At most every few seconds anew; one asks, the others wait for its answer."""
    global _last
    with _lock:
        if time.monotonic() - _last[0] >= FRESH_FOR_S:
            measure()
            _last = (time.monotonic(), generate_latest(_registry))
        return _last[1]


def forget() -> None:
    """The next answer is a new one."""
    global _last
    _last = (float("-inf"), b"")
