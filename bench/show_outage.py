"""Show an outage of FCM beside `make run`: `python -m bench.show_outage --port 8000`.

Orders a job for every device every few seconds, lets the emulated FCM answer 503 with Retry-After in the middle, and
prints how often FCM was asked, its breaker, which way its messages took, and what the other providers' devices noticed.
Reads the running copy's var/ only; the exit status is 1 where a message was lost.
"""

import argparse
import json
import sqlite3
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTROL_TIMEOUT_S = 10
SETTLE_S = 60
STEP_S = 10


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    seconds: int


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.show_outage", description=__doc__)
    arguments.add_argument("--port", type=int, default=8000)
    arguments.add_argument("--var", type=Path, default=Path("var"))
    arguments.add_argument("--every", type=float, default=4.0, help="seconds between jobs (default: 4)")
    arguments.add_argument("--outage", type=int, default=120, help="seconds (default: 120)")
    options = arguments.parse_args()
    shown = Show(options.var, options.port, options.every)
    before = shown.phase(Phase("before", 60))
    shown.fault(options.outage, retry_after_s=30)
    during = shown.phase(Phase("outage", options.outage))
    after = shown.phase(Phase("after", 90))
    return shown.sum_up([before, during, after])


class Show:
    def __init__(self, var: Path, port: int, every_s: float) -> None:
        self.var = var
        self.jobs_url = f"http://127.0.0.1:{port}/api/v1/jobs"
        self.key = (var / "api-key").read_text().strip()
        self.control = json.loads((var / "push-services" / "addresses.json").read_text())["control"]
        self.every_s = every_s

    def phase(self, phase: Phase) -> tuple[str, str, str]:
        """Order jobs for its length; prints a line every ten seconds. Returns its name, begin and end (UTC)."""
        began, began_at = time.monotonic(), utc_now()
        next_job = next_line = began
        asked_before = self.asked()
        while (now := time.monotonic()) < began + phase.seconds:
            if now >= next_job:
                self.order(phase.name)
                next_job += self.every_s
            if now >= next_line + STEP_S:
                asked = self.asked()
                rate = (asked - asked_before) / (now - next_line)
                said = f"fcm asked {rate:5.1f}/s  {self.breaker()}  {self.ways(began_at)}"
                print(f"{utc_now()[11:19]} {phase.name:7} {said}")
                asked_before, next_line = asked, now
            time.sleep(0.1)
        return phase.name, began_at, utc_now()

    def order(self, name: str) -> None:
        body = {
            "name": f"show {name}",
            "target": {"all": True},
            "push_notification": {"title": name, "ttl_seconds": 600},
        }
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.jobs_url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=CONTROL_TIMEOUT_S) as answer:
            answer.read()

    def fault(self, seconds: int, retry_after_s: int) -> None:
        fault = {"service": "fcm", "do": "answer", "status": 503, "retry_after": str(retry_after_s), "for_s": seconds}
        request = urllib.request.Request(
            f"{self.control}/faults", json.dumps(fault).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=CONTROL_TIMEOUT_S) as answer:
            answer.read()

    def asked(self) -> int:
        """Sends that FCM answered, whatever it answered."""
        with urllib.request.urlopen(f"{self.control}/counts", timeout=CONTROL_TIMEOUT_S) as answer:
            return sum(json.loads(answer.read())["fcm"]["answers"].values())

    def breaker(self) -> str:
        found = self.rows("SELECT state FROM delivery_providerstate WHERE provider = 'fcm'")
        return f"breaker {found[0][0] if found else 'closed':9}"

    def ways(self, since: str) -> str:
        """Messages ordered since then for devices whose first channel is FCM, by the way they took: arrived/all."""
        found = self.rows(
            """SELECT provider, SUM(status = 'delivered'), COUNT(*) FROM push_notification_logs
               WHERE created_at >= ? AND (provider = 'fcm' OR fallback_from = 'fcm') GROUP BY provider ORDER BY 1""",
            since,
        )
        return "  ".join(f"{provider} {arrived}/{ordered}" for provider, arrived, ordered in found)

    def sum_up(self, phases: list[tuple[str, str, str]]) -> int:
        print(f"waiting {SETTLE_S} s for the last acks ...")
        time.sleep(SETTLE_S)
        others = {name: self.p95_of_others(began, ended) for name, began, ended in phases}
        [(ordered, delivered, open_rows)] = self.rows(
            """SELECT COUNT(*), SUM(status = 'delivered'), SUM(status IN ('pending', 'sent'))
               FROM push_notification_logs WHERE created_at >= ?""",
            phases[0][1],
        )
        print(
            f"ordered {ordered}, delivered {delivered}, still open {open_rows}, lost {ordered - delivered - open_rows}"
        )
        for provider in others["before"]:
            figures = ", ".join(f"{name} {found.get(provider)} ms" for name, found in others.items())
            print(f"p95 {provider}: {figures}")
        return 1 if ordered - delivered - open_rows else 0

    def p95_of_others(self, began: str, ended: str) -> dict[str, int]:
        """The p95 latency (ms) of what providers other than FCM carried for their own devices."""
        found: dict[str, list[int]] = {}
        for provider, latency_ms in self.rows(
            """SELECT provider, latency_ms FROM push_notification_logs
               WHERE created_at BETWEEN ? AND ? AND fallback_from = '' AND latency_ms IS NOT NULL
                 AND provider NOT IN ('fcm', 'inbox') ORDER BY 1, 2""",
            began,
            ended,
        ):
            found.setdefault(provider, []).append(latency_ms)
        return {provider: values[int(len(values) * 0.95)] for provider, values in found.items()}

    def rows(self, sql: str, *params: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.var / 'homepot.sqlite3'}?mode=ro", uri=True, timeout=30) as database:
            return database.execute(sql, params).fetchall()


def utc_now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


if __name__ == "__main__":
    sys.exit(main())
