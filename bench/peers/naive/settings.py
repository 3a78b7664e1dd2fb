"""Settings of the naive pipeline, from the environment that naive_pipeline.py gives it."""

import os

import dj_database_url

SECRET_KEY = "only-for-the-bench"
INSTALLED_APPS = ["bench.peers.naive"]
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=600)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ROUTES = {"orders.*": {"queue": "orders"}, "pushes.*": {"queue": "pushes"}}

PUSH_SENDER = os.environ["PUSH_SENDER"]
"""A module with `post(push)`."""
PUSH_URL = os.environ["PUSH_URL"]
"""The push service."""
FCM_SERVICE_ACCOUNT_FILE = os.environ.get("FCM_SERVICE_ACCOUNT_FILE", "")
APNS_KEY_FILE = os.environ.get("APNS_KEY_FILE", "")
APNS_KEY_ID = os.environ.get("APNS_KEY_ID", "")
APNS_TEAM_ID = os.environ.get("APNS_TEAM_ID", "")
APNS_TOPIC = os.environ.get("APNS_TOPIC", "")
