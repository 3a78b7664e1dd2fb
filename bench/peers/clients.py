"""What people would send with instead: each in a process of its own, to the same stub, with the same content.

A client is pointed at the stub by its own settings where it has them, else by replacing its URL; the stub's certificate
comes by the variables that `requests` and httpx read. Nothing else of it is touched.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import addresses, transport
from bench.peers import installed
from bench.peers.question import Question
from bench.stage import Stage
from delivery.providers.base import flat
from tests.processes import ROOT

WARM_UP = 200
ANSWER_S = 300.0


@dataclass(frozen=True, slots=True)
class Client:
    """A peer by its script: `with_*.mjs` for Node.js, any other a module of bench.peers."""

    name: str
    script: str
    messages: int
    options: Sequence[str] = ()
    needs_packages: bool = True

    def rate(self, stage: Stage, provider: str, credential: Mapping[str, Any]) -> float | None:
        """Messages a second, every one of which arrived; None where the client is not here."""
        command = self._command()
        if command is None:
            return None
        with stage.expecting(provider, WARM_UP + self.messages):
            return self.messages / self._ask(command, question(stage, provider, credential, self.messages))

    def _command(self) -> list[str | Path] | None:
        if self.script.endswith(".mjs"):
            folder = installed.node()
            return None if folder is None else ["node", folder / self.script]
        interpreter = installed.python() if self.needs_packages else Path(sys.executable)
        return None if interpreter is None else [interpreter, "-m", f"bench.peers.{self.script}", *self.options]

    def _ask(self, command: Sequence[str | Path], asked: Question) -> float:
        env = os.environ | trusting(asked.credential)
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            input=json.dumps(asdict(asked)),
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
        )
        if done.returncode != 0:
            raise AssertionError(f"{self.name} ended with {done.returncode}: {done.stderr[-2000:]}")
        return float(json.loads(done.stdout)["seconds"])


def question(stage: Stage, provider: str, credential: Mapping[str, Any], messages: int) -> Question:
    url = stage.mqtt.url if provider == "mqtt" else stage.stub.url
    message = transport.message(provider, 1, "")
    keys = {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat(message).items()}
    return Question(
        url=url,
        credential=dict(credential),
        warm_up=WARM_UP,
        messages=messages,
        window=transport.WINDOW,
        title=keys.pop("title"),
        body=keys.pop("body"),
        data=keys,
        addresses=addresses.some(provider, stage.stub.url),
    )


def trusting(credential: Mapping[str, Any]) -> dict[str, str]:
    """The variables by which `requests` and httpx know the stub's certificate."""
    ca_file = str(credential.get("ca_file", ""))
    return {"REQUESTS_CA_BUNDLE": ca_file, "SSL_CERT_FILE": ca_file} if ca_file else {}


FCM = (
    Client("pyfcm", "with_pyfcm", 2_000),
    Client("firebase-admin send_each", "with_firebase_admin", 2_000),
)
APNS = (
    Client("aioapns", "with_aioapns", 10_000),
    Client("node-apn", "with_node_apn.mjs", 10_000),
)
WEBPUSH_ALONE = Client("webpush() alone", "with_pywebpush", 600)
WEB_PUSH = (
    Client("webpush() with a session", "with_pywebpush", 2_000, options=("--session",)),
    Client("npm web-push", "with_web_push.mjs", 5_000),
)
PAHO = Client("paho alone, window 100", "with_paho", 20_000, needs_packages=False)
