"""A worker that hears nothing, as a process of its own: it notices, and takes what is due again by itself."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.db import connection

from delivery.models import Alert, PushNotificationLog, Status
from tests import servers
from tests.delivery.rows import messages
from tests.journey.api import wait_until
from tests.journey.production import Production
from tests.processes import Process
from tests.proxy import Proxy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

BACK_S = 40
IDLE_S = 12
SETTINGS = {
    "STALLED_AFTER_S": "2",
    "SIMULATION_PROFILE": "ideal",
    "TASK_LIMIT_S": "6",
    "BATCH_BUDGET_S": "5",
    "SEND_DEADLINE_S": "4",
}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Redis]:
    with servers.Redis() as own:
        monkeypatch.setenv("CELERY_BROKER_URL", own.url)  # Celery believes it more than what it is told
        yield own


@pytest.fixture
def proxy(broker: servers.Redis) -> Iterator[Proxy]:
    with Proxy(broker.port) as between:
        yield between


@pytest.fixture
def production(tmp_path: Path, proxy: Proxy) -> Iterator[Production]:
    """The test's own database; nothing but what a test starts, so neither beat nor a sweep."""
    database_url = os.environ["DATABASE_URL"].rsplit("/", 1)[0] + "/" + connection.settings_dict["NAME"]
    redis_url = f"redis://127.0.0.1:{proxy.port}/0"
    with Production(tmp_path, database_url=database_url, redis_url=redis_url, mqtt_url="", settings=SETTINGS) as own:
        yield own


@pytest.fixture
def worker(production: Production) -> Process:
    started = production.start("simulation")
    started.wait_for_line(" ready.")
    return started


def pending() -> int:
    return PushNotificationLog.objects.filter(status=Status.PENDING).count()


def test_a_worker_whose_consumer_was_cancelled_begins_again(worker: Process, broker: servers.Redis) -> None:
    control = Celery(broker=broker.url).control
    wait_until(lambda: bool(control.cancel_consumer("push.simulation", reply=True)), "worker that listens")
    messages(5, age_s=10)

    wait_until(lambda: pending() == 0, "sends", BACK_S)

    assert "the consumer starts again" in worker.output()
    assert worker.alive
    wait_until(lambda: Alert.objects.filter(kind="worker_deaf").exclude(closed_at=None).count() == 1, "closed alert")


def test_a_worker_whose_connection_swallows_all_begins_again(worker: Process, proxy: Proxy) -> None:
    proxy.swallow()
    messages(5, age_s=10)

    wait_until(lambda: pending() == 0, "sends", BACK_S)

    assert worker.alive


def test_a_worker_that_stays_deaf_ends_so_that_another_is_started(worker: Process, proxy: Proxy) -> None:
    proxy.loses = lambda piece: b"BRPOP" in piece
    messages(5, age_s=10)

    status = worker.wait(60)

    assert status == 1
    assert "it ends" in worker.output()


def test_a_worker_without_beat_takes_what_nobody_hinted(worker: Process) -> None:
    messages(5, age_s=10)

    wait_until(lambda: pending() == 0, "sends", BACK_S)

    assert "starts again" not in worker.output()


def test_an_idle_worker_is_left_alone(worker: Process) -> None:
    time.sleep(IDLE_S)

    assert "starts again" not in worker.output()
    assert "could not look" not in worker.output()
