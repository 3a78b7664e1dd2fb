"""The peer of record: the pipeline of naive/, on the same servers, with as many processes as the product's."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery

from bench import addresses, transport
from bench.peers.clients import trusting
from bench.stage import PROCESSES_PER_WORKER, Stage, wait_for_children
from tests.journey.api import wait_until
from tests.journey.production import PYTHON
from tests.processes import ROOT, Process, spawn

MESSAGES = 2_000
WARM_UP = 100
GIVE_UP_S = 120.0
POLL_S = 0.02
PACKAGE = "bench.peers.naive"
QUEUES = ("orders", "pushes")
REDIS_DATABASE = 2


def rate(stage: Stage, provider: str, credential: Mapping[str, Any]) -> float:
    """Messages a second from the order until the last is saved as sent, every one of which arrived."""
    folder = stage.folder / stage.next_name()
    folder.mkdir()
    env = environment(
        stage.postgres.create_database(folder.name),
        stage.redis.url_of(REDIS_DATABASE),
        stage.stub.url,
        provider,
        credential,
    )
    migrate(folder, env)
    workers = [_worker(folder, env, queue) for queue in QUEUES]
    try:
        for worker in workers:
            wait_for_children(worker, PROCESSES_PER_WORKER)
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as connection:
            _seconds(stage, provider, connection, env, WARM_UP)
            return MESSAGES / _seconds(stage, provider, connection, env, MESSAGES)
    finally:
        for worker in workers:
            worker.stop()


def environment(
    database_url: str, redis_url: str, push_url: str, provider: str, credential: Mapping[str, Any]
) -> dict[str, str]:
    """What naive/settings.py reads; the product's own settings of a credential have the names that it wants."""
    return {
        **{f"{provider}_{key}".upper(): str(value) for key, value in credential.items()},
        **trusting(credential),
        "PATH": f"{PYTHON.parent}:/usr/bin:/bin",
        "DJANGO_SETTINGS_MODULE": f"{PACKAGE}.settings",
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": redis_url,
        "PUSH_SENDER": f"{PACKAGE}.{provider}",
        "PUSH_URL": push_url,
    }


def migrate(folder: Path, env: Mapping[str, str]) -> None:
    command: list[str | Path] = [PYTHON, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
    spawn("naive-migrate", command, folder=folder, env=env, cwd=ROOT).finish()


def order(env: Mapping[str, str]) -> None:
    """For every device that there is, as another backend would order it."""
    with Celery(broker=env["CELERY_BROKER_URL"]) as app:
        content = transport.CONTENT
        app.send_task("orders.order", args=[content["title"], content["body"], content["data"]], queue="orders")


def _worker(folder: Path, env: Mapping[str, str], queue: str) -> Process:
    command = ["celery", "-A", f"{PACKAGE}.celery_app", "worker", "--queues", queue, "--loglevel", "warning"]
    command += ["--concurrency", str(PROCESSES_PER_WORKER), "--without-mingle", "--without-gossip"]
    return spawn(f"naive-{queue}", [*command, "--hostname", f"{queue}@%h"], folder=folder, env=env, cwd=ROOT)


def _seconds(
    stage: Stage, provider: str, connection: psycopg.Connection[Any], env: Mapping[str, str], messages: int
) -> float:
    """One order for so many devices, those of an earlier one among them."""
    known = addresses.some(provider, stage.stub.url)
    devices = [(f"device-{number}", known[number % len(known)]) for number in range(messages)]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO naive_device (name, token) VALUES (%s, %s) ON CONFLICT DO NOTHING", devices)
        cursor.execute("SELECT count(*) FROM naive_push")
        [sent_before] = cursor.fetchone() or [0]
    with stage.expecting(provider, messages):
        began = time.monotonic()
        order(env)
        wait_until(lambda: _sent(connection) >= sent_before + messages, f"{messages} sent", GIVE_UP_S, pause_s=POLL_S)
        return time.monotonic() - began


def _sent(connection: psycopg.Connection[Any]) -> int:
    [count] = connection.execute("SELECT count(*) FROM naive_push WHERE status = 'sent'").fetchone() or [0]
    return int(count)
