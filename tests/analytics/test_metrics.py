"""What Prometheus reads: the record's numbers, and what processes count."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from analytics import latency, metrics, rollups
from analytics.models import Zombie
from delivery import clocks
from delivery.models import Alert, ProviderState, PushNotificationLog
from tests.analytics import record
from tests.delivery.rows import a_channel, a_device

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(client: Client) -> Samples:
    metrics.forget()
    text = client.get("/metrics").content.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.mark.django_db
def test_attempts_and_latency_are_counted_from_the_record(client: Client) -> None:
    now, till = clocks.db_now(), record.device()
    for latency_ms in [5, 300, 400, 9_000]:
        record.message(till, now, status="delivered", sent_at=now, latency_ms=latency_ms, handoff_ms=20)
    record.refuse(record.message(till, now, status="failed"), now, outcome="rejected")
    rollups.roll_up()

    found = scraped(client)

    assert value(found, "homepot_attempts_total", provider="fcm", outcome="accepted") == 4
    assert value(found, "homepot_attempts_total", provider="fcm", outcome="rejected") == 1
    assert value(found, "homepot_latency_seconds_count", provider="fcm") == 4
    assert value(found, "homepot_latency_seconds_sum", provider="fcm") == 9.705
    assert value(found, "homepot_latency_seconds_bucket", provider="fcm", le="0.007") == 1
    assert value(found, "homepot_latency_seconds_bucket", provider="fcm", le="0.511") == 3
    assert value(found, "homepot_latency_seconds_bucket", provider="fcm", le="+Inf") == 4
    assert value(found, "homepot_handoff_seconds_count", provider="fcm") == 4


@pytest.mark.django_db
def test_the_states_of_a_day_sum_to_what_was_ordered(client: Client) -> None:
    now, till = clocks.db_now(), record.device()
    for status in ("pending", "sent", "failed", "expired", "skipped", "cancelled"):
        record.message(till, now - timedelta(hours=2), status=status)
    rollups.roll_up()

    found = scraped(client)

    assert sum(count for (name, _), count in found.items() if name == "homepot_messages") == 6
    assert value(found, "homepot_messages", provider="fcm", state="open") == 2


@pytest.mark.django_db
def test_breakers_due_rows_and_alerts_are_told(client: Client) -> None:
    now = clocks.db_now()
    ProviderState.objects.create(provider="fcm", state="open", until=now, rate_per_s=50)
    Alert.objects.open_or_repeat("misconfigured", "fcm/default", "wrong key", now)
    push = record.message(record.device(), now)
    PushNotificationLog.objects.filter(pk=push.pk).update(next_attempt_at=now)

    found = scraped(client)

    assert value(found, "homepot_breaker", provider="fcm", credential="default", state="open") == 1
    assert value(found, "homepot_breaker", provider="fcm", credential="default", state="closed") == 0
    assert value(found, "homepot_rate_limit_per_second", provider="fcm", credential="default") == 50
    assert value(found, "homepot_due_messages", provider="fcm", credential="default") == 1
    assert value(found, "homepot_open_alerts", kind="misconfigured") == 1


@pytest.mark.django_db
def test_zombies_that_stand_are_counted_by_provider(client: Client) -> None:
    now = clocks.db_now()
    for number, closed_at in enumerate((None, None, now)):
        channel = a_channel(a_device(f"till-{number}"), "fcm")
        Zombie.objects.create(
            device=channel.device, channel=channel, provider="fcm", found_at=now, last_seen=now, pushes=3,
            first_push_at=now, rung_at=now, closed_at=closed_at,
        )  # fmt: skip

    assert value(scraped(client), "homepot_zombies", provider="fcm") == 2


@pytest.mark.django_db
def test_without_the_database_the_page_says_so_and_stays(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise DatabaseError

    monkeypatch.setattr("delivery.clocks.db_now", away)

    assert value(scraped(client), "homepot_database_up") == 0


@pytest.mark.django_db
def test_whoever_asks_at_once_again_costs_no_query(client: Client, django_assert_num_queries: object) -> None:
    scraped(client)

    with django_assert_num_queries(0):  # type: ignore[operator]
        client.get("/metrics")


@pytest.mark.django_db
def test_requests_are_counted_by_their_route_and_not_by_their_address(client: Client) -> None:
    client.get("/api/v1/jobs/job-of-nobody")
    client.get("/no/such/page")

    found = scraped(client)

    route = "api/v1/jobs/<str:job_id>"
    assert value(found, "homepot_http_request_seconds_count", route=route, method="GET", status="4xx") >= 1
    assert not any("job-of-nobody" in str(key) or "no/such" in str(key) for key in found)


def test_the_steps_of_the_histogram_are_exact() -> None:
    took_ms = [0, 7, 8, 255, 256, 2_047, 2_048, 4_194_303, 4_194_304, 10**9]

    counted = list(metrics.cumulative(latency.histogram(took_ms)))

    assert counted == [
        *((bound, sum(ms <= float(bound) * 1000 + 1e-6 for ms in took_ms)) for bound, _ in counted[:-1]),
        ("+Inf", len(took_ms)),
    ]


COUNTS = """
import sys
from django.conf import settings
settings.configure()
from prometheus_client import Counter
Counter("homepot_hints_lost", "Hints", ["task"]).labels("delivery.send").inc(int(sys.argv[1]))
"""
READS = "from homepot import metrics; print(metrics.of_processes().decode())"


def test_processes_that_share_a_folder_are_counted_together(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        root = Path(__file__).parents[2]
        return subprocess.run(
            [sys.executable, "-c", *command], env=env, cwd=root, capture_output=True, text=True, check=True
        ).stdout

    run(COUNTS, "2")
    run(COUNTS, "3")

    assert 'homepot_hints_lost_total{task="delivery.send"} 5.0' in run(READS)
