"""The Celery application: `celery -A celery_app worker -Q push.mqtt`. Settings: homepot/settings.py."""

import os
import signal
import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_process_init, worker_shutting_down
from django.db import close_old_connections
from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

from delivery import stopping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "homepot.settings")

app = Celery("homepot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize  # else Celery opens a new database connection for every task
app.autodiscover_tasks(["delivery", "analytics"])
app.steps["worker"].add("homepot.consumer:Watchdog")


class HeldHints(redis.QoS):
    """What a worker does with its hints when the broker goes or is full: it goes on without. A sweep repeats them.

    Kombu would put them back, and ack them when their tasks are done, on the connection that is gone or at a Redis that
    takes no more; the worker would end over each of these.
    """

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        try:
            super().append(message, delivery_tag)
        except ResponseError:
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if self.channel.closed:
            return
        try:
            super().ack(delivery_tag)
        except ResponseError:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self.ack(delivery_tag)


redis.Channel.QoS = HeldHints


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Celery would set up its own; homepot.logs has done it."""


@worker_process_init.connect
def leave_the_end_to_the_parent(**_: object) -> None:
    """A process manager may send SIGTERM to the whole group; a pool process that obeyed it would drop its batch."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@worker_shutting_down.connect
def end_in_time(exitcode: int, **_: object) -> None:
    """A second SIGTERM changes nothing: the worker is ending."""
    if not stopping.told():
        stopping.tell()
        stopping.end_within(stopping.limit_s(), exitcode or 1)


@task_prerun.connect
@task_postrun.connect
def keep_good_connections(**_: object) -> None:
    """As Django does around a request: a database connection that failed or is too old goes, any other stays."""
    close_old_connections()


@worker_process_init.connect
def collect_less_often(**_: object) -> None:
    from homepot import collector  # noqa: PLC0415  (the package imports this module)

    collector.spare_what_is_here()
