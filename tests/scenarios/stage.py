"""The whole product on this machine, devices that beat like real ones, and what goes wrong at their end."""

import json
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.rig import Rig, say
from tests.scenarios.confusion import NONE, Judged

SITES = 8
DEVICES = 800
CHANNELS = "fcm:0.3,apns:0.2,wns:0.15,web_push:0.2,mqtt:0.15"
HEARTBEAT_S = 40
NO_POLLS_S = 100_000
"""What a push does not bring is not fetched: the cause alone decides."""
TTL_S = 30
CONTENT = {"title": "New prices", "body": "Valid from today", "data": {"action": "load_prices"}}
PATIENCE_S = 60.0
END_S = 90.0
"""For the sweep, and for rows that a dead worker held."""
SECOND_LOOK_S = 150
FIRST_LOOK_S = 20


class StageError(Exception):
    """The product did not do what a scene needs; its logs are kept."""


@dataclass(frozen=True, slots=True)
class Till:
    """A device, as scenes choose them."""

    device_id: str
    site_id: str
    channel: str
    address: str
    only_one_way: bool
    """It has no second channel."""


class Stage:
    """A rig, its devices by id, and the troubles in force."""

    def __init__(self, rig: Rig, trouble_file: Path) -> None:
        self.rig = rig
        self.tills = _tills(rig)
        self._trouble_file = trouble_file
        self._gone: set[Till] = set()
        self._troubles: dict[str, Any] = json.loads(trouble_file.read_text())
        self.began_at = datetime.now(UTC)
        """Within a minute of the fleet's own start, from which on its clocks drift."""

    def at(self, *numbers: int, channel: str = "") -> list[Till]:
        """The tills of these sites that have not lost their address for good, in the order of their ids."""
        sites = {f"site-{number:03d}" for number in numbers}
        here = [till for till in self.tills if till.site_id in sites and till not in self._gone]
        return [till for till in here if channel in ("", till.channel)]

    def retire(self, tills: Sequence[Till]) -> None:
        """Their push services do not know them any more."""
        self._gone.update(tills)
        for service in {till.channel for till in tills}:
            self.rig.services.retire(service, [till.address for till in tills if till.channel == service])

    def trouble(self, **changes: Any) -> None:
        """What is wrong at the devices' end from now on, besides what was told before."""
        self._troubles |= changes
        write_troubles(self._trouble_file, self._troubles)
        self.rig.fleet.process.wait_for_line(f"troubles in force: {self._trouble_file.stat().st_mtime_ns}", PATIENCE_S)

    def wait_until_all_were_heard(self) -> None:
        unheard = "SELECT count(*) FROM delivery_device WHERE last_heartbeat_at IS NULL"
        self._wait(lambda: not self.rig.record.number(unheard), "heartbeat of each device", 2 * HEARTBEAT_S + END_S)

    def wait_until_silent(self, *numbers: int) -> None:
        """What a busy server had already taken of these sites' heartbeats is written down."""
        heard = """SELECT count(*) FROM delivery_device
                   WHERE site_id = ANY(%s) AND last_heartbeat_at > now() - interval '5 seconds'"""
        sites = [f"site-{number:03d}" for number in numbers]
        self._wait(lambda: not self.rig.record.number(heard, sites), "silence", PATIENCE_S)

    def order(self, tills: Sequence[Till], times: int, *, ttl_s: int = TTL_S) -> list[str]:
        """So many jobs, each one message for each of these; their ids."""
        target = {"devices": [till.device_id for till in tills]}
        return [self._order(target, ttl_s) for _ in range(times)]

    def _order(self, target: Mapping[str, object], ttl_s: int) -> str:
        body = {"name": "Scene", "target": target, "push_notification": {**CONTENT, "ttl_seconds": ttl_s}}
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        gives_up_at = time.monotonic() + PATIENCE_S
        while (answer := self.rig.api.call("POST", "/jobs", body, headers=headers)).status != 202:
            if time.monotonic() > gives_up_at:
                raise StageError(f"a job was answered {answer.status}: {json.dumps(answer.body)[:300]}")
            time.sleep(1)
        return str(answer.body["job_id"])

    def wait_until_over(self, job_ids: Sequence[str]) -> None:
        """Every message of these has ended."""
        self._wait(lambda: not self.count(job_ids, "status IN ('pending', 'sent')"), "end of the messages", END_S)

    def wait_until_judged(self, job_ids: Sequence[str], *, second_look: bool) -> None:
        """What was not confirmed in time has its verdict; with a second look also that of complete heartbeats."""
        looks = f"judge_at <= expires_at + interval '{SECOND_LOOK_S} seconds'" if second_look else "false"
        undelivered = "status IN ('expired', 'failed') OR status = 'delivered' AND expired_at IS NOT NULL"
        unjudged = f"({undelivered}) AND (verdict = '' OR {looks})"
        self._wait(lambda: not self.count(job_ids, unjudged), "verdict on all messages", SECOND_LOOK_S + END_S)

    def count(self, job_ids: Sequence[str], condition: str) -> int:
        return self.rig.record.number(
            f"SELECT count(*) FROM push_notification_logs WHERE job_id = ANY(%s) AND ({condition})", list(job_ids)
        )

    def judged(self, job_ids: Sequence[str], hurt: Sequence[Till]) -> list[Judged]:
        """Every message of these jobs as it stands now."""
        ids = {till.device_id for till in hurt}
        rows = self.rig.record.rows(
            "SELECT device_id, status, expired_at, verdict FROM push_notification_logs WHERE job_id = ANY(%s)",
            list(job_ids),
        )
        return [
            Judged(
                hurt=row["device_id"] in ids,
                late=row["status"] == "delivered" and row["expired_at"] is not None,
                in_time=row["status"] == "delivered" and row["expired_at"] is None,
                verdict=row["verdict"] or NONE,
            )
            for row in rows
        ]

    def _wait(self, happened: Callable[[], bool], what: str, timeout_s: float) -> None:
        gives_up_at = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > gives_up_at:
                raise StageError(f"no {what} within {timeout_s:.0f} s")
            time.sleep(0.5)


def write_troubles(file: Path, troubles: Mapping[str, Any]) -> None:
    """Whole: the fleet may look at any moment."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(troubles), encoding="utf-8")
    os.replace(fresh, file)


def rig(folder: Path, trouble_file: Path) -> Rig:
    return Rig(
        folder,
        devices=DEVICES,
        settings={},
        sites=SITES,
        channels=CHANNELS,
        fleet_options={
            "--heartbeat": HEARTBEAT_S,
            "--poll": NO_POLLS_S,
            "--troubles": trouble_file,
            "--network": "office",
            "--seed": 1,
        },
    )


def _tills(rig: Rig) -> list[Till]:
    addresses: dict[str, str] = defaultdict(str)
    for file in (rig.fleet.folder / "fleet").glob("site-*.json"):
        for identity in json.loads(file.read_text(encoding="utf-8")).values():
            addresses[identity["device_id"]] = identity["address"]
    found = [
        Till(device_id, place.site_id, place.channel, addresses[device_id], not place.mqtt_fallback)
        for device_id, place in rig.fleet.devices().items()
    ]
    say(f"{len(found)} tills at {SITES} sites")
    return sorted(found, key=lambda till: till.device_id)
