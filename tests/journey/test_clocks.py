"""The product's processes with wrong clocks, each another: nobody but the database knows what time it is."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.services.apns import EmulatedApns
from simulator.services.fcm import EmulatedFcm
from simulator.services.hosting import running
from simulator.services.service import EmulatedService
from tests import faketime, servers
from tests.delivery.emulated import settings_of
from tests.journey.api import Api, wait_until
from tests.journey.production import Production, Record

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]

OFF_S = {"web": 600, "fanout": -600, "maintenance": 600, "beat": -600, "apns": 3_000, "fcm": 3_000}
"""Nearly an hour for those who sign tokens: of ten minutes Apple would notice a quarter of the time only."""
PROVIDERS = ("apns", "fcm")
TTL_S = 600
START_S = 90.0
"""The preloaded library makes each look at the clock dearer."""
CLOSE = timedelta(seconds=30)


@dataclass
class World:
    api: Api
    record: Record
    devices: dict[str, Api]
    """One by provider."""
    services: dict[str, EmulatedService]

    def message(self, job_id: str) -> dict[str, Any]:
        [row] = self.record.messages(job_id)
        return row

    def sent(self, provider: str, ttl_s: int) -> dict[str, Any]:
        """A message for this provider's device, once it was taken."""
        job_id = self.api.order({"devices": [self.devices[provider].device_id]}, ttl_seconds=ttl_s)
        wait_until(lambda: self.record.count(job_id, "sent") == 1, "sent row", 30, lambda: self.record.messages(job_id))
        return self.message(job_id)


@pytest.fixture(scope="module")
def world(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if faketime.library() is None:
        pytest.skip(faketime.MISSING)
    folder = tmp_path_factory.mktemp("clocks")
    with servers.Redis() as redis, running(EmulatedApns()) as apns, running(EmulatedFcm()) as fcm:
        services: dict[str, EmulatedService] = {"apns": apns, "fcm": fcm}
        urls = {
            "database_url": postgres.create_database("clocks"),
            "redis_url": redis.url,
            "mqtt_url": "mqtt://127.0.0.1:1",
        }
        settings = {"CREDENTIALS_FILE": str(_credentials(folder, services)), "WEB_WORKERS": "1"}
        with Production(folder, **urls, settings=settings) as production:
            api = production.prepare(1)
            for name, seconds in OFF_S.items():
                production.start(name, **faketime.off_by(seconds))
            production.processes["web"].wait_for_url(f"{production.url}/livez", START_S)
            record = Record(urls["database_url"])
            try:
                key = (folder / "bootstrap-key").read_text(encoding="utf-8").strip()
                yield World(api, record, {name: _device(api, key, services[name]) for name in PROVIDERS}, services)
            finally:
                record.close()


def _credentials(folder: Path, services: dict[str, EmulatedService]) -> Path:
    file = folder / "credentials.toml"
    tables = [
        "\n".join([f"[{name}.default]", *(f'{key} = "{value}"' for key, value in settings_of(service).items())])
        for name, service in services.items()
    ]
    file.write_text("\n\n".join(tables), encoding="utf-8")
    return file


def _device(api: Api, bootstrap_key: str, service: EmulatedService) -> Api:
    device = api.provision("site-001", bootstrap_key, f"Till with {service.name}")
    answer = device.call(
        "PUT", f"/devices/{device.device_id}/channels/{service.name}", {"address": service.new_address()}
    )
    assert answer.status in (200, 201), answer
    return device


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_message_goes_out_at_the_right_time_with_the_right_ttl(world: World, provider: str) -> None:
    before = datetime.now(UTC)

    row = world.sent(provider, TTL_S)

    after = datetime.now(UTC)
    taken = world.services[provider].accepted()[-1]
    assert before <= row["created_at"] <= row["sent_at"] <= after
    assert row["expires_at"] == row["created_at"] + timedelta(seconds=TTL_S)
    assert TTL_S - 30 <= taken.ttl_s <= TTL_S
    assert row["attempt_count"] == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_ack_gives_the_true_latency(world: World, provider: str) -> None:
    row = world.sent(provider, TTL_S)
    received_at = datetime.now(UTC)

    answer = world.devices[provider].call(
        "POST", "/push/ack", {"message_id": str(row["message_id"]), "received_at": received_at.isoformat()}
    )

    assert answer.status == 200
    acked = world.message(row["job_id"])
    assert (acked["status"], acked["received_at"], acked["clock_skewed"]) == ("delivered", received_at, False)
    assert acked["latency_ms"] == pytest.approx((received_at - acked["sent_at"]).total_seconds() * 1000, abs=1)
    assert received_at <= acked["acked_at"] <= datetime.now(UTC)


def test_a_message_that_nobody_acks_ends_with_its_ttl_and_not_before(world: World) -> None:
    row = world.sent("apns", 6)
    lifetimes = [(datetime.now(UTC), row["status"])]

    while lifetimes[-1][1] == "sent" and datetime.now(UTC) < row["expires_at"] + CLOSE:
        time.sleep(0.2)
        lifetimes.append((datetime.now(UTC), world.message(row["job_id"])["status"]))

    ended_at, status = lifetimes[-1]
    assert status == "expired"
    assert row["expires_at"] <= ended_at <= row["expires_at"] + timedelta(seconds=15)


def test_the_hour_is_counted(world: World) -> None:
    world.sent("fcm", TTL_S)

    wait_until(
        lambda: world.record.number("SELECT sum(accepted) FROM analytics_hourlyrollup WHERE provider = 'fcm'") > 0,
        "counted attempt",
        40,
    )

    [counted] = world.record.rows("SELECT max(counted_at) AS at, max(hour) AS hour FROM analytics_rollupstate")
    assert abs(counted["at"] - datetime.now(UTC)) < CLOSE
    assert counted["hour"] <= datetime.now(UTC)


def test_a_clock_that_is_wrong_leaves_no_trace_in_an_answer(world: World) -> None:
    row = world.sent("fcm", TTL_S)

    answer = world.api.call(
        "POST", "/push/send", {"device_id": row["device_id"], "title": "Now", "body": "at this moment"}
    )

    assert abs(datetime.fromisoformat(answer.body["timestamp"]) - datetime.now(UTC)) < CLOSE
