"""Count registrations that are refused, so that somebody hears when devices cannot come in."""

import logging

from django.db import DatabaseError

from delivery import clocks
from delivery.models import RefusedRegistration

log = logging.getLogger(__name__)

COUNTED = {"register": (400, 409, 422), "provision": (400, 401, 404, 422)}
"""By the rate of a view: what is wrong with the registration itself. Who only lacks proof or asks too often has not
registered anything, but a wrong bootstrap key is a device that wanted to."""


def note(rate: str, status: int) -> None:
    if status not in COUNTED.get(rate, ()):
        return
    try:
        RefusedRegistration.objects.note(f"{rate} {status}", clocks.db_now())
    except DatabaseError as error:
        log.warning("a refused registration was not counted", extra={"why": type(error).__name__})
