"""The Celery application: `celery -A celery_app worker -Q push.mqtt`. Settings: homepot/settings.py."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "homepot.settings")

app = Celery("homepot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["delivery", "analytics"])


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Celery would set up its own; homepot.logs has done it."""
