"""The emulated push services as a process of their own, on ports that stay the same when it is started again."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.services.together import ANY_PORTS
from tests.journey.production import PYTHON
from tests.processes import Process, free_port, port_answers, spawn

CONTROL_TIMEOUT_S = 30


class PushServices:
    """`manage.py push_services`. `credentials_file` is what the product sends with; `home` is for its devices."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "push-services"
        self.credentials_file = folder / "credentials.toml"
        self._folder = folder
        self._ports = [free_port() for _ in ANY_PORTS]
        self.process: Process | None = None

    def start(self) -> None:
        for port in self._ports:
            assert not port_answers(port), f"port {port} belongs to someone else"
        self.home.mkdir(exist_ok=True)
        options: list[str | Path] = ["--ports", ",".join(map(str, self._ports)), "--ca-dir", self.home]
        self.process = spawn(
            "push-services",
            [PYTHON, "manage.py", "push_services", *options, "--credentials", self.credentials_file],
            folder=self._folder,
            env={"DEBUG": "1", "SIMULATOR": "1", "DJANGO_SETTINGS_MODULE": "homepot.settings", "CREDENTIALS_FILE": ""},
        )
        self.process.wait_for_line('"control"', 60)

    def stop(self) -> None:
        if self.process is not None and self.process.alive:
            self.process.stop()

    def kill(self) -> None:
        """What they kept for devices is gone."""
        if self.process is not None:
            self.process.kill()

    def fault(self, service: str, do: str, **more: Any) -> int:
        """Put a fault in force (simulator/services/faults.py); its number ends it."""
        return int(self._call("POST", "/faults", {"service": service, "do": do, **more})["number"])

    def heal(self, number: int | None = None) -> None:
        """End one fault, or all."""
        self._call("DELETE", "/faults" if number is None else f"/faults?number={number}")

    def expire_tokens(self, service: str) -> None:
        """No access token given so far is taken any more."""
        self._call("DELETE", f"/tokens?service={service}")

    def retire(self, service: str, addresses: Sequence[str]) -> None:
        """They are gone for good."""
        self._call("DELETE", "/addresses", {"service": service, "addresses": list(addresses)})

    def met(self, number: int) -> int:
        """How many requests a fault that is still in force has decided about."""
        return sum(int(each["met"]) for each in self._call("GET", "/faults")["faults"] if each["number"] == number)

    def counts(self) -> dict[str, dict[str, Any]]:
        """Each service's sums: `accepted`, `requests`, `answers` by status and more."""
        counts: dict[str, dict[str, Any]] = self._call("GET", "/counts")
        return counts

    def accepted(self) -> dict[str, dict[str, int]]:
        """By service: how often each message was accepted."""
        accepted: dict[str, dict[str, int]] = self._call("GET", "/accepted")
        return accepted

    def _call(self, method: str, path: str, content: object = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._ports[4]}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=CONTROL_TIMEOUT_S) as answer:
            return json.load(answer)
