"""One writer of the embedded database, through the product's own code: `python -m tests.journey.sqlite_writer KIND`.

Says on standard output what was committed (`acked <message_id>`) or refused (`refused <why>`). Runs until it is killed;
`devices` makes the devices that the others write about, and ends.
"""

import itertools
import os
import sys
from uuid import UUID

import django
from django.conf import settings
from django.db import DatabaseError

if not settings.configured:
    django.setup()

from delivery import acks, clocks, fanout, jobs, sweeps
from delivery.models import PushNotificationLog
from delivery.priority import Priority
from tests.delivery.rows import a_channel, a_device, a_site

DEVICES = 40
EVERYBODY = jobs.Target(all=True)
PAYLOAD = {"title": "Hello", "body": "World", "data": {}}


def make_devices() -> None:
    site = a_site()
    for number in range(DEVICES):
        a_channel(a_device(f"till-{number}", site=site))


def ack(_number: int) -> None:
    found = PushNotificationLog.objects.open().filter(received_at=None).order_by("?")[:5]
    proven = [
        acks.ProvenAck(acks.Ack(message_id=str(row.message_id), device_id=row.device_id), row.device_id)
        for row in found
    ]
    acks.record(proven)
    for item in proven:
        say("acked", item.ack.message_id)


def order(number: int) -> None:
    job, _ = jobs.accept(jobs.Order(name=f"{number}", target=EVERYBODY, payload=PAYLOAD, ordered_by="person:test"))
    say("ordered", job.job_id)
    fanout.fan_out_chunk()


def claim(_number: int) -> None:
    now, token = clocks.db_now(), UUID(bytes=os.urandom(16), version=4)
    which = ("simulation", "default", [Priority.NORMAL])
    rows = PushNotificationLog.objects.claim(*which, limit=10, token=token, now=now, until=now)
    if rows:
        PushNotificationLog.objects.give_back([row.id for row in rows], token=token, due_at=now)


def sweep(_number: int) -> None:
    for one in (sweeps.expire, sweeps.release_lost, sweeps.settle_jobs):
        one()


KINDS = {"acks": ack, "orders": order, "claims": claim, "sweeps": sweep}


def say(what: str, about: object) -> None:
    sys.stdout.write(f"{what} {about}\n")
    sys.stdout.flush()


def main(kind: str) -> None:
    if kind == "devices":
        make_devices()
        return
    say("ready", kind)
    for number in itertools.count():
        try:
            KINDS[kind](number)
        except DatabaseError as error:
            say("refused", error)


if __name__ == "__main__":
    main(sys.argv[1])
