"""Errors outside the API's own views: a database that is away is 503 with Retry-After, never 500."""

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

log = logging.getLogger(__name__)
RETRY_AFTER_S = 5


def database_away() -> JsonResponse:
    return JsonResponse(
        {"detail": "The database is away. Try again in a few seconds; nothing was changed.", "status_code": 503},
        status=503,
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


class ClearErrors:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if isinstance(error, OperationalError | InterfaceError):
            log.warning("database away", extra={"why": type(error).__name__})
            return database_away()
        return None
