"""The web process's ASGI entry: acks by the short way, then whatever `Admission` lets in to Django."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from homepot import collector

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "homepot.settings")
django = get_asgi_application()

from delivery.api.ack_groups import Groups  # noqa: E402
from homepot.ack_entry import AckEntry  # noqa: E402  (its imports need Django's apps)
from homepot.admission import Admission  # noqa: E402

groups = Groups()
admission = Admission(django, threads=settings.WEB_THREADS, acks_wait=groups.any_wait)
application = AckEntry(admission, groups, on_refusal=admission.ack_was_refused)

collector.spare_what_is_here()
