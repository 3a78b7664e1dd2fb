"""Prove that nothing is lost: `python -m bench.prove [--kill-worker] [--flush-redis]`.

A job over HTTP for many simulated devices on MQTT, through production's processes on private PostgreSQL, Redis and
Mosquitto servers, with two push workers; on request one worker is killed, or Redis emptied, in mid-job. Prints one
line, whose numbers come from the record, in SQL, and from the devices' own counts. The exit status is 1 if anything was
lost or was sent again more often than allowed.
"""

import argparse
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from tests import servers
from tests.delivery.mqtt import Listener
from tests.journey.api import wait_until
from tests.journey.fleet import Fleet
from tests.journey.production import Production, Record

SITES = 10
SUBSCRIBED_S = 240.0
TTL_S = 3_600
DEVICES_PER_CONNECTION = 250
PROCESSES_PER_WORKER = 2
EXTRA_SENDS_PER_PROCESS = 200
"""What one killed process may have sent without having said so: its window of 100 and one batch of 100 results."""
WORKERS = ("mqtt_1", "mqtt_2")


@dataclass(frozen=True, slots=True)
class Result:
    messages: int
    delivered: int
    received: int
    """Devices that got their message, by their own count."""
    repeated: int
    """Pushes of a message that its device had already."""
    bound: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.messages == self.delivered == self.received and self.repeated <= self.bound

    def line(self, faults: Sequence[str]) -> str:
        return (
            f"{self.messages} messages ({', '.join(faults) or 'no fault'}): {self.delivered} delivered (rows), "
            f"{self.received} received at devices, {self.repeated} received more than once (at most {self.bound}), "
            f"{self.seconds:.1f} s"
        )


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.prove", description=__doc__)
    arguments.add_argument("--messages", type=int, default=20_000, metavar="N", help="default 20000")
    arguments.add_argument("--kill-worker", action="store_true", help="kill -9 a worker's process group in mid-job")
    arguments.add_argument("--flush-redis", action="store_true", help="FLUSHALL in mid-job")
    arguments.add_argument("--timeout", type=float, default=600, metavar="S", help="for the job; default 600")
    wanted = arguments.parse_args()
    folder = servers.scratch_folder()
    try:
        result = prove(folder, wanted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    chosen = {"worker killed": wanted.kill_worker, "Redis flushed": wanted.flush_redis}
    print(result.line([fault for fault, happened in chosen.items() if happened]), flush=True)
    return 0 if result.good else 1


def prove(folder: Path, wanted: argparse.Namespace) -> Result:
    with servers.Postgres(folder) as postgres, servers.Redis(folder) as broker, servers.Mqtt(folder) as mqtt:
        urls = {"database_url": postgres.url, "redis_url": broker.url, "mqtt_url": mqtt.url}
        settings = {"SEND_PROCESSES": str(PROCESSES_PER_WORKER * len(WORKERS))}
        with Production(folder, **urls, settings=settings) as production:
            api = production.prepare(SITES)
            production.start_all("fanout", "maintenance")
            for name in WORKERS:
                production.start("mqtt", instance=name).wait_for_line(" ready.")
            fleet = Fleet(
                production,
                "fleet",
                devices=wanted.messages,
                sites=SITES,
                channels="mqtt:1",
                connections=math.ceil(wanted.messages / DEVICES_PER_CONNECTION),
                ack_batch=100,
            )
            record = Record(postgres.url)
            try:
                wait_until_subscribed(fleet, mqtt.url)
                say(f"{wanted.messages} devices have subscribed; the job is ordered")
                began = time.monotonic()
                job_id = api.order({"all": True}, ttl_seconds=TTL_S)
                wait_until(lambda: half_way(record, job_id, wanted.messages), "half of the job", wanted.timeout)
                if wanted.kill_worker:
                    kill_worker(production, record, job_id)
                if wanted.flush_redis:
                    flush(broker)
                ended = wait_for_the_end(record, job_id, wanted.messages, wanted.timeout)
                seconds = time.monotonic() - began
                again = record.number("SELECT count(*) FROM push_notification_logs WHERE attempt_count > 1")
                say(f"{'every message has ended' if ended else 'time is up'}; {again} were tried more than once")
                time.sleep(2.0)  # for a push that was on its way when its message's ack came
                counts = fleet.stop().values()
                return Result(
                    messages=wanted.messages,
                    delivered=record.count(job_id, "delivered"),
                    received=sum(device["received"] for device in counts),
                    repeated=sum(device["duplicates"] for device in counts),
                    bound=PROCESSES_PER_WORKER * EXTRA_SENDS_PER_PROCESS if wanted.kill_worker else 0,
                    seconds=seconds,
                )
            finally:
                record.close()
                fleet.process.kill()


def wait_until_subscribed(fleet: Fleet, mqtt_url: str) -> None:
    """As the broker counts it, every ten seconds: the devices share connections, so those say nothing."""
    topics = sum(1 + place.acks_over_mqtt for place in fleet.places)
    with Listener(mqtt_url, "$SYS/broker/subscriptions/count") as broker:

        def subscribed() -> int:
            return int(broker.received[-1].payload) if broker.received else 0

        others = 2  # the consumer of acks, and this one
        wait_until(lambda: subscribed() >= topics + others, f"{topics} subscriptions", SUBSCRIBED_S, subscribed)


def half_way(record: Record, job_id: str, messages: int) -> bool:
    return record.count(job_id, "sent") + record.count(job_id, "delivered") >= messages // 2


def kill_worker(production: Production, record: Record, job_id: str) -> None:
    """The whole process group of one worker while it holds messages; a process manager would start it again."""
    worker = production.processes[WORKERS[0]]
    os.killpg(worker.pid, signal.SIGKILL)
    worker.kill()
    say(f"{worker.name} was killed; workers, dead or alive, held {record.held(job_id)} messages")
    production.start("mqtt", instance=WORKERS[0])


def flush(broker: servers.Redis) -> None:
    with redis.Redis(port=broker.port) as client:
        hints = {queue: client.llen(queue) for queue in ("push.mqtt", "fanout", "maintenance")}
        client.flushall()
    say(f"Redis was flushed; hints that waited there: {hints}")


def wait_for_the_end(record: Record, job_id: str, messages: int, timeout_s: float) -> bool:
    """Until no message of the job is open; False when time is up."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        ended = record.number(
            "SELECT count(*) FROM push_notification_logs WHERE job_id = %s AND status NOT IN ('pending', 'sent')",
            job_id,
        )
        if ended >= messages:
            return True
        time.sleep(0.25)
    return False


def say(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
