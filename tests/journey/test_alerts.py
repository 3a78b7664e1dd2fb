"""An alert, from what a real worker measures to a real listener's ear, past a worker that is killed in between."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import servers
from tests.analytics.listeners import JsonService, json_service
from tests.journey.api import wait_until
from tests.journey.production import Production, Record

pytestmark = pytest.mark.journey


@pytest.fixture
def service() -> Iterator[JsonService]:
    with json_service() as listening:
        yield listening


@pytest.fixture
def production(postgres: servers.Postgres, service: JsonService, tmp_path: Path) -> Iterator[Production]:
    with servers.Redis() as broker:
        urls = {
            "database_url": postgres.create_database("alerts"), "redis_url": broker.url, "mqtt_url": "",
        }  # fmt: skip
        with Production(tmp_path, **urls, settings={"ALERT_URLS": service.address}) as production:
            production.manage("migrate", "--verbosity", "0")
            yield production


@pytest.fixture
def record(production: Production) -> Iterator[Record]:
    record = Record(production.database_url)
    yield record
    record.close()


def tick(production: Production, task: str) -> None:
    """As beat would: without waiting for the minute."""
    production.manage("shell", "-c", f"from analytics import tasks; tasks.{task}.apply_async(queue='maintenance')")


def test_an_alert_is_opened_and_told_once_though_the_worker_dies(
    production: Production, record: Record, service: JsonService
) -> None:
    record.execute(
        "INSERT INTO delivery_providerstate (provider, credential, state, why, opened_at, opened_times, window_sends,"
        " window_accepted, changed_at) VALUES ('fcm', 'default', 'open', 'no_answer', %s, 1, 0, 0, now())",
        datetime.now(UTC) - timedelta(minutes=5),
    )
    service.status = 503

    production.start("maintenance")
    tick(production, "judge_alerts")
    wait_until(lambda: record.number("SELECT count(*) FROM delivery_alert") == 1, "an alert", 60)
    tick(production, "tell_of_alerts")
    failed = "SELECT count(*) FROM delivery_alertnotice WHERE error LIKE '%%503'"
    wait_until(lambda: record.number(failed) == 1, "a try that fails", 60)
    production.processes["maintenance"].kill()
    service.status = 200
    record.execute("UPDATE delivery_alertnotice SET due_at = now()")
    production.start("maintenance", instance="maintenance_again")
    tick(production, "tell_of_alerts")
    wait_until(lambda: bool(service.told), "a letter", 60)

    [told] = service.told
    assert told["title"] == "HOMEPOT alert: breaker_open fcm/default"
    assert "no_answer" in told["message"]
