"""A limit: what the stub takes from a client that does nothing but send one body again and again."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from bench import transport
from bench.peers import installed
from bench.stage import PROCESSES_PER_WORKER, Stage
from delivery.providers import apns_message, fcm_message
from delivery.providers.base import Message

NAME = "h2load"
REQUESTS = 100_000
PATHS = {"fcm": "/v1/projects/bench/messages:send", "apns": f"/3/device/{'0' * 64}"}
BODIES: dict[str, Callable[[Message], bytes]] = {
    "fcm": lambda message: fcm_message.encoded(fcm_message.body(message)),
    "apns": apns_message.payload,
}


def rate(stage: Stage, provider: str, _credential: Mapping[str, Any]) -> float | None:
    """Requests a second, as many connections and streams as the product's worker has; None where it is not here."""
    if not installed.on_path("h2load"):
        return None
    message = transport.message(provider, 1, "0" * 64)
    with tempfile.NamedTemporaryFile() as body:
        body.write(BODIES[provider](message))
        body.flush()
        command = ["h2load", f"-n{REQUESTS}", f"-c{PROCESSES_PER_WORKER}", f"-m{transport.WINDOW}", f"-d{body.name}"]
        with stage.expecting(provider, REQUESTS):
            done = subprocess.run(
                [*command, f"{stage.stub.url}{PATHS[provider]}"], capture_output=True, text=True, check=True
            )
    found = re.search(r"([\d.]+) req/s", done.stdout)
    if found is None or f"{REQUESTS} succeeded" not in done.stdout:
        raise AssertionError(f"h2load said {done.stdout}")
    return float(found[1])
