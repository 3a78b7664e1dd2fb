"""Simulated devices in a process of their own, and what they themselves say they got."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.fleet import ledger, plan
from simulator.fleet.device import PUSH_SERVICES
from simulator.fleet.plan import Place
from tests.journey.production import PYTHON, Production
from tests.processes import Process, spawn


class Fleet:
    """`manage.py simulate` on an ideal network, its devices written straight into the database."""

    def __init__(
        self,
        production: Production,
        name: str,
        *,
        devices: int,
        sites: int,
        channels: str,
        connections: int = 0,
        ack_batch: int = 1,
        push_services: Path | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """`more` are options of the command that differ."""
        self.folder = production.folder / name
        self.folder.mkdir()
        self.places: list[Place] = list(plan.places(devices, sites, plan.read_channels(channels), mqtt_acks=0.5))
        options: dict[str, object] = {
            "--devices": devices,
            "--sites": sites,
            "--channels": channels,
            "--mqtt-acks": 0.5,
            "--network": "ideal",
            "--jobs-every": 0,
            "--heartbeat": 0,
            "--mqtt-connections": connections,
            "--ack-batch": ack_batch,
            "--var": self.folder,
            "--ledger": self._ledger,
        }
        if push_services is not None:
            options["--push-services"] = push_services
        options |= more or {}
        self._name, self._production = name, production
        self._command: list[str | Path] = [PYTHON, "manage.py", "simulate", "--register-directly"]
        self._command += [str(part) for option in options.items() for part in option]
        self.process = self.start()

    def start(self, **env: str) -> Process:
        """The same devices, also after an end; only what was on its way to them is forgotten."""
        env = {**self._production.env, "SIMULATOR": "1", **env}
        self.process = spawn(self._name, self._command, folder=self._production.folder, env=env)
        return self.process

    def wait_until_connected(self, timeout_s: float = 60.0) -> None:
        """At the push services and at the broker; a device with a fallback at both."""
        pushed = sum(place.channel in PUSH_SERVICES for place in self.places)
        listening = sum(place.channel == "mqtt" or place.mqtt_fallback for place in self.places)
        self.process.wait_for_line(
            f"{pushed} push services ({pushed} online), {listening} MQTT ({listening} connected)", timeout_s
        )

    def devices(self) -> dict[str, Place]:
        """Each device's place in the plan by its id, in the plan's order."""
        kept: dict[tuple[str, str], str] = {}
        for file in (self.folder / "fleet").glob("site-*.json"):
            for name, identity in json.loads(file.read_text(encoding="utf-8")).items():
                kept[identity["site_id"], name] = identity["device_id"]
        return {kept[place.site_id, place.name]: place for place in self.places}

    def counts(self) -> dict[str, dict[str, int]]:
        """received, duplicates and acked of every device but the simulation's, as they are now."""
        self._wait_for_fresh_counts()
        devices: dict[str, dict[str, int]] = self._read()["devices"]
        return devices

    def answers(self) -> dict[str, int]:
        """How often the server gave each answer, by status, as it is now."""
        self._wait_for_fresh_counts()
        answers: dict[str, int] = self._read()["answers"]
        return answers

    def told(self) -> list[dict[str, Any]]:
        """What the devices noted so far: see simulator/fleet/ledger.py."""
        return ledger.read(self._ledger)

    def stop(self) -> dict[str, dict[str, int]]:
        """End it; its last counts."""
        self.process.stop()
        devices: dict[str, dict[str, int]] = self._read()["devices"]
        return devices

    def _wait_for_fresh_counts(self) -> None:
        """By the time of the file: the devices' own clock may be wrong."""
        asked_ns = time.time_ns()
        self.process.wait_for("fresh counts", lambda: self._file.exists() and self._file.stat().st_mtime_ns > asked_ns)

    def _read(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        return counts

    @property
    def _ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def _file(self) -> Path:
        return self.folder / "fleet-counts.json"
