"""A message's whole way in embedded mode: what `make run` starts, a job with its key, and a killed child."""

import json
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from homepot import supervision
from tests.homepot.test_embedded import Copy
from tests.journey.api import Api, wait_until
from tests.processes import Process, spawn

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

FLEET = 24
PROVIDERS = {"fcm", "apns", "wns", "web_push", "mqtt", "simulation", "inbox"}
SITES = 2
REGISTERED_S = 60
JOB_S = 60


class Demo(Copy):
    """A copy whose simulated devices ack everything, so that a job always ends."""

    def launch(self) -> Process:
        env = {
            "PORT": str(self.port),
            "HOST": "",
            "SITES": str(SITES),
            "FLEET": str(FLEET),
            "HISTORY": "0",
            "SIMULATION_PROFILE": "ideal",
        }
        command = [sys.executable, "-m", "homepot.embedded"]
        self.launchers.append(spawn("launcher", command, folder=self.folder.parent, cwd=self.folder, env=env))
        return self.launchers[-1]

    @property
    def api(self) -> Api:
        return Api(f"http://127.0.0.1:{self.port}", (self.var / "api-key").read_text(encoding="utf-8").strip())

    def fleet_says(self, text: str) -> bool:
        log = self.var / "log" / "fleet.log"
        return log.exists() and text in log.read_text(encoding="utf-8")

    def rows(self, sql: str, *params: object) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.var / 'homepot.sqlite3'}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, params)]

    def received(self) -> dict[str, int]:
        """By every device that counts for itself."""
        counts = json.loads((self.var / "fleet-counts.json").read_text(encoding="utf-8"))
        return {device_id: numbers["received"] for device_id, numbers in counts["devices"].items()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    made = Demo(tmp_path_factory.mktemp("demo"))
    try:
        launcher = made.start()
        launcher.wait_for("all devices", lambda: made.fleet_says(f" {FLEET} of {FLEET} devices"), REGISTERED_S)
        yield made
    finally:
        made.end()


def test_a_job_reaches_every_device_and_every_row_and_receipt_says_so(demo: Demo) -> None:
    job_id = demo.api.order({"all": True})

    job = demo.api.wait_for_job(job_id, "acknowledged", JOB_S)

    messages = demo.rows("SELECT * FROM push_notification_logs WHERE job_id = ?", job_id)
    assert (job["progress"]["targeted"], job["progress"]["delivered"]) == (FLEET, FLEET)
    assert Counter(message["status"] for message in messages) == {"delivered": FLEET}
    assert all(message["sent_at"] and message["received_at"] and message["acked_at"] for message in messages)
    receipts = demo.rows(
        "SELECT r.push_id FROM push_delivery_logs r JOIN push_notification_logs m ON m.message_id = r.push_id"
        " WHERE m.job_id = ?",
        job_id,
    )
    assert sorted(receipt["push_id"] for receipt in receipts) == sorted(m["message_id"] for m in messages)


def test_every_provider_delivers(demo: Demo) -> None:
    delivered = demo.rows("SELECT DISTINCT provider FROM push_notification_logs WHERE status = 'delivered'")

    assert {row["provider"] for row in delivered} == PROVIDERS


def test_the_devices_count_what_the_record_says(demo: Demo) -> None:
    def recorded() -> dict[str, int]:
        found = demo.rows(
            "SELECT device_id, count(*) AS messages FROM push_notification_logs WHERE status = 'delivered' GROUP BY 1"
        )
        counting = demo.received()
        return {row["device_id"]: row["messages"] for row in found if row["device_id"] in counting}

    wait_until(lambda: demo.received() == recorded(), "equal counts", 40, lambda: (demo.received(), recorded()))

    assert len(demo.received()) < FLEET, "the simulation's devices do not count for themselves"


def test_the_hourly_numbers_follow(demo: Demo) -> None:
    def sums() -> list[dict[str, Any]]:
        rollups = "SELECT sum(ordered) AS ordered, sum(delivered) AS delivered FROM analytics_hourlyrollup"
        messages = "SELECT count(*) AS ordered, sum(status = 'delivered') AS delivered FROM push_notification_logs"
        return demo.rows(rollups) + demo.rows(messages)

    wait_until(lambda: sums()[0] == sums()[1], "rollups that equal the rows", 60, sums, pause_s=0.5)


def test_a_killed_worker_is_started_again_and_the_next_job_is_delivered(demo: Demo) -> None:
    killed = demo.children()["worker_mqtt"]

    psutil.Process(killed).kill()
    job_id = demo.api.order({"all": True})
    job = demo.api.wait_for_job(job_id, "acknowledged", JOB_S)

    assert job["progress"]["delivered"] == FLEET
    wait_until(lambda: demo.replaced("worker_mqtt", killed), "worker in its place")


def test_ctrl_c_stops_every_child(demo: Demo) -> None:
    running = [psutil.Process(pid) for pid in demo.children().values()]

    demo.launchers[-1].stop(signal.SIGINT)

    assert len(running) > 5
    assert [process for process in running if process.is_running()] == []
    assert supervision.leftovers(demo.var) == []
