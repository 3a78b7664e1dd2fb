"""Every error of the API as `{"detail": <string or object>, "status_code": <int>}`."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError
from django.http import Http404
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, Throttled, ValidationError
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.response import Response
from rest_framework.views import set_rollback

from delivery import outage

log = logging.getLogger(__name__)

DATABASE_RETRY_AFTER_S = 5


class BadRequest(APIException):
    """400 where the contract says so for a well-formed body (422 is the rule)."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "Not possible"
    default_code = "bad_request"


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "This conflicts with what is there"
    default_code = "conflict"


class Unprocessable(APIException):
    """A field of a well-formed body is wrong, and no serializer could know."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "A field is wrong"
    default_code = "unprocessable"


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "Not available"
    default_code = "unavailable"


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """What went wrong, as an answer; None for a bug, which stays an exception (500, and a line in the log)."""
    refusal = _as_refusal(error)
    if refusal is None:
        return None
    set_rollback()
    code = status.HTTP_422_UNPROCESSABLE_ENTITY if isinstance(refusal, ValidationError) else refusal.status_code
    return Response({"detail": refusal.detail, "status_code": code}, status=code, headers=_headers(refusal))


def _as_refusal(error: Exception) -> APIException | None:
    match error:
        case APIException():
            return error
        case Http404():
            return NotFound("Not found")
        case PermissionDenied():
            return Forbidden("Not allowed")
        case _ if outage.is_outage(error):
            log.warning("database away", extra={"why": f"{type(error).__name__}: {error}"[:200]})
            return Unavailable(outage.TOLD)
        case IntegrityError():
            log.warning("write conflict", extra={"why": str(error)[:200]})
            return Conflict("Somebody else wrote the same thing at the same moment. Nothing was changed; try again.")
        case DataError():
            return BadRequest("A value cannot be stored")
        case _:
            return None


def _headers(refusal: APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(refusal, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(refusal, Throttled):
        headers["Retry-After"] = str(max(1, round(getattr(refusal, "wait", None) or 1)))
    if isinstance(refusal, Unavailable):
        headers["Retry-After"] = str(DATABASE_RETRY_AFTER_S)
    return headers
