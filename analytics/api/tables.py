"""Tables as CSV files, a few hundred lines at a time, that no spreadsheet takes for formulas."""

import csv
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request

LINES_AT_ONCE = 500
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

Cell = str | int | float | None


def safe(cell: Cell) -> Cell:
    """Text that a spreadsheet would run gets an apostrophe before it; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def download(
    request: Request | HttpRequest, name: str, columns: Sequence[str], lines: Iterable[Sequence[Cell]]
) -> StreamingHttpResponse:
    """The table as a file that is written while it is sent."""
    chunks = _chunks(columns, lines)
    under_asgi = isinstance(request._request if isinstance(request, Request) else request, ASGIRequest)
    response = StreamingHttpResponse(
        _in_turn(chunks) if under_asgi else chunks,
        content_type="text/csv; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _chunks(columns: Sequence[str], lines: Iterable[Sequence[Cell]]) -> Iterator[str]:
    yield _text([columns])
    rest = iter(lines)
    while some := list(islice(rest, LINES_AT_ONCE)):
        yield _text(some)


def _text(lines: Iterable[Sequence[Cell]]) -> str:
    written = StringIO()
    csv.writer(written).writerows([safe(cell) for cell in line] for line in lines)
    return written.getvalue()


async def _in_turn(chunks: Iterator[str]) -> AsyncIterator[str]:
    """The same on an event loop: each chunk is read from the database in the request's own thread."""
    while chunk := await sync_to_async(_next)(chunks):
        yield chunk


def _next(chunks: Iterator[str]) -> str:
    """Empty after the last: StopIteration cannot leave a thread's future."""
    return next(chunks, "")
