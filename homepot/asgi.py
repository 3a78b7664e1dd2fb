"""The web process's ASGI entry: whatever is served without Django goes around what `Admission` lets in."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from homepot.admission import Admission

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "homepot.settings")
application = Admission(get_asgi_application(), threads=settings.WEB_THREADS)
