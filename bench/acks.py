"""From a device's ack to 200 after its commit: one per request, and a hundred per request, over plain HTTP.

Beside it, in the same run, the same acks through a plain view of Django REST framework, and the limit: an ASGI
application in the same server that has no database. It reads a body and answers; where a body holds many acks, it
parses them and answers each. How long the slowest of a hundred requests waits is measured at half the load.
"""

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from bench import cpu
from bench.case import Case, Figures
from bench.message_ids import made_at
from bench.stage import Play, Stage
from tests.processes import ROOT, free_port, spawn

DEVICES = 100_000
SECONDS = 8
CONNECTIONS = 50
TOGETHER = 100
SCRIPT = ROOT / "bench" / "ack_load.lua"
PATHS = {1: "/api/v1/push/ack", TOGETHER: "/api/v1/push/ack/batch"}
BY_VIEW = "?by=view"
"""Only calls without a query take the short way."""


def single() -> Case:
    return Case(
        name="ack_single",
        sentence=f"acks of {DEVICES} messages, one per request, each answered after its commit",
        unit="acks/s",
        peer="a plain DRF view",
        limit="no database",
        measure=_measure(1),
    )


def batch() -> Case:
    return Case(
        name="ack_batch",
        sentence=f"acks of {DEVICES} messages, {TOGETHER} per request, each answered after its commit",
        unit="acks/s",
        peer="a plain DRF view",
        limit="parsed, no database",
        measure=_measure(TOGETHER),
    )


def _measure(per_request: int) -> Callable[[Stage], Figures]:
    def measure(stage: Stage) -> Figures:
        with stage.play(RATE_LIMIT_FACTOR="10000") as play:
            play.devices("fcm", DEVICES, "'token-' || n")
            path, url = PATHS[per_request], play.production.url
            bodies = write(play.folder / "bodies", sent(play), per_request)
            by_view = _load(url + path + BY_VIEW, bodies) * per_request
            bodies = write(play.folder / "bodies", sent(play), per_request)
            parts, before = play.processes(), cpu.seconds(play.processes())
            value = _load(url + path, bodies) * per_request
            cost_us = cpu.spent_us(before, cpu.seconds(parts), max(1, round(value * SECONDS)))
            _check(play, value)
            bodies = write(play.folder / "bodies", sent(play), per_request)
            p99_ms = _p99_ms_at_half_load(url + path, bodies, value / per_request)
            limit = _bare(play, bodies, per_request) * per_request
            return Figures(value, limit, cost_us, peer_value=by_view, also={"p99_ms_at_half_load": p99_ms})

    return measure


def sent(play: Play) -> list[tuple[str, str]]:
    """Every device has one more message that was sent and not acked; their ids with their devices'."""
    with psycopg.connect(play.production.database_url, autocommit=True) as connection:
        found = connection.execute(MESSAGES.encode()).fetchall()
        connection.execute(b"VACUUM ANALYZE push_notification_logs")
    return [(str(message_id), device_id) for message_id, device_id in found]


def write(file: Path, messages: Sequence[tuple[str, str]], per_request: int) -> Path:
    acks = [{"status": "delivered", "device_id": other, "message_id": one} for one, other in messages]
    if per_request == 1:
        bodies: Sequence[object] = acks
    else:
        bodies = [acks[first : first + per_request] for first in range(0, len(acks), per_request)]
    file.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
    return file


def _load(url: str, bodies: Path) -> float:
    """Requests a second that were answered 200."""
    said = _wrk(url, bodies)
    [requests, took_s] = _numbers(r"(\d+) requests in ([\d.]+)s", said)
    refused = _numbers(r"Non-2xx or 3xx responses: (\d+)", said)
    return (requests - sum(refused)) / took_s


def _p99_ms_at_half_load(url: str, bodies: Path, full: float) -> float:
    """`full`: requests a second at full load. Resting twice as long as all connections' requests take makes it half."""
    said = _wrk(url, bodies, rest_ms=max(1, round(2 * CONNECTIONS / full * 1000)))
    [(value, unit)] = re.findall(r"99%\s+([\d.]+)(us|ms|s)\b", said)
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def paced(url: str, bodies: Path, per_s: float) -> None:
    """About so many requests a second, for SECONDS."""
    _wrk(url, bodies, rest_ms=max(1, round(CONNECTIONS / per_s * 1000)))


def _wrk(url: str, bodies: Path, rest_ms: int = 0) -> str:
    load = ["-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(SCRIPT)]
    command = ["wrk", *load, url, "--", str(bodies), str(rest_ms)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _numbers(pattern: str, text: str) -> list[float]:
    found = re.search(pattern, text)
    return [float(number) for number in found.groups()] if found else []


def _check(play: Play, value: float) -> None:
    """What was answered 200 is what the database holds; bodies that came round again change nothing."""
    delivered = play.record.number("SELECT count(*) FROM push_notification_logs WHERE status = 'delivered'")
    if not value or delivered < min(DEVICES, value * SECONDS * 0.95):
        raise AssertionError(f"{value * SECONDS:.0f} acks were answered, the database has {delivered}")


def _bare(play: Play, bodies: Path, per_request: int) -> float:
    """The same server and the same requests, without a product behind them."""
    port = free_port()
    application = "bench.bare:answer" if per_request == 1 else "bench.bare:answer_each"
    command = ["uvicorn", application, "--port", str(port), "--no-access-log", "--log-level", "warning"]
    env = {"PATH": play.production.env["PATH"]}
    server = spawn("bare", command, folder=play.folder, cwd=ROOT, env=env)
    try:
        server.wait_for_url(f"http://127.0.0.1:{port}/")
        return _load(f"http://127.0.0.1:{port}/", bodies)
    finally:
        server.kill()


MESSAGES = f"""
    INSERT INTO push_notification_logs (message_id, device_id, site_id, provider, credential, status, priority,
        created_at, sent_at, expires_at)
    SELECT {made_at("now()")}, device_id, site_id, 'fcm', 'default', 'sent', 2, now(), now(), now() + interval '1 day'
    FROM delivery_device WHERE platform = 'bench' ORDER BY random()
    RETURNING message_id, device_id
"""
