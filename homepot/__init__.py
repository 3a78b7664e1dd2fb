"""The Django project: settings from the environment, URLs, logs, health."""

from celery_app import app as celery_app

__all__ = ["celery_app"]
