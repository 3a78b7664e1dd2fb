"""The Celery application: `celery -A celery_app worker -Q push.mqtt`. Settings: homepot/settings.py."""

import os
import sys

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun
from django.db import close_old_connections
from kombu.transport.redis import QoS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "homepot.settings")

app = Celery("homepot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize  # else Celery opens a new database connection for every task
app.autodiscover_tasks(["delivery", "analytics"])
# A worker that loses its broker would put the hint that it holds back into the broker that is gone, and end over it.
QoS.restore_at_shutdown = False


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Celery would set up its own; homepot.logs has done it."""


@task_prerun.connect
@task_postrun.connect
def keep_good_connections(**_: object) -> None:
    """As Django does around a request: a database connection that failed or is too old goes, any other stays."""
    close_old_connections()
