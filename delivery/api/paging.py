"""Pages by key: `next` is the address of the following page, or null. Rows added meanwhile shift nothing."""

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from delivery.api.errors import Unprocessable

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
MAX_KEY = 2**63 - 1

PARAMETERS = [
    OpenApiParameter("cursor", int, description="From `next` of the page before."),
    OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}, {DEFAULT_LIMIT} if not given."),
]

Row = TypeVar("Row", bound=Model)


def page(request: Request, rows: QuerySet[Row]) -> tuple[list[Row], str | None]:
    """One page in the order of the key, and the address of the next."""
    limit = number(request, "limit", DEFAULT_LIMIT, maximum=MAX_LIMIT)
    after = number(request, "cursor", 0, minimum=0, maximum=MAX_KEY)
    found = list(rows.filter(pk__gt=after).order_by("pk")[: limit + 1])
    if len(found) <= limit:
        return found, None
    return found[:limit], _address(request, cursor=found[limit - 1].pk, limit=limit)


def number(request: Request, name: str, default: int, *, minimum: int = 1, maximum: int) -> int:
    """A whole number out of the query; 422 names it where it is none."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and minimum <= int(given) <= maximum):
        raise Unprocessable({name: [f"A whole number from {minimum} to {maximum}"]})
    return int(given)


def _address(request: Request, **changed: Any) -> str:
    query = request.query_params.copy()
    for name, value in changed.items():
        query[name] = str(value)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
