"""Errors outside the API's own views. Under /api/ they are JSON too; a database that is away is 503, never 500."""

import logging
from collections.abc import Callable

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from delivery import outage

log = logging.getLogger(__name__)
RETRY_AFTER_S = 5


def database_away(error: BaseException) -> JsonResponse:
    log.warning("database away", extra={"why": f"{type(error).__name__}: {error}"[:200]})
    response = _json(503, outage.TOLD)
    response["Retry-After"] = str(RETRY_AFTER_S)
    return response


class ClearErrors:
    """Sees an exception before debug pages do: the API answers JSON with them on, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if outage.is_outage(error):
            return database_away(error)
        if not _api(request) or isinstance(error, Http404):
            return None
        if isinstance(error, PermissionDenied):
            return forbidden(request, error)
        if isinstance(error, BadRequest | SuspiciousOperation | MultiPartParserError):
            return bad_request(request, error)
        got_request_exception.send(sender=type(self), request=request)
        log.exception("bug", exc_info=error)
        return server_error(request)


@csrf_exempt
def nowhere(request: HttpRequest, rest: str = "") -> HttpResponseBase:
    """An address under /api/ that leads nowhere."""
    return _json(404, "Not found")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _json(400, "Not a request that can be read") if _api(request) else defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _json(403, "Not allowed") if _api(request) else defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return _json(404, "Not found") if _api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    return _json(500, "A fault of ours. It is in the log.") if _api(request) else defaults.server_error(request)


def _api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _json(status: int, detail: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "status_code": status}, status=status)
