"""Lists that stay fast at millions of rows: newest first, no full count, each page begins behind the one before it."""

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest

from delivery.models import setwise

BEFORE = "before"
COUNT_TO = 10_000
"""Rows are counted up to here; above it the page says "10 000+"."""
COUNT_FOR_MS = 100
"""And no longer than this; then it says that there are more than one page holds."""


class NewestFirst(ChangeList):
    """The page behind row n holds the rows below n, so that page 1,000 costs what page 1 does."""

    rows_text: str
    older: str | None
    newest: str | None

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        lookups = super().get_filters_params(params)
        lookups.pop(BEFORE, None)
        if any("\x00" in text for values in lookups.values() for text in values):
            raise IncorrectLookupParameters
        return lookups

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        before = request.GET.get(BEFORE, "")
        begun = before.isdecimal() and len(before) < 19
        rows = self.behind(int(before)) if begun else self.queryset
        found = list(rows[: self.list_per_page + 1])
        page = found[: self.list_per_page]
        is_all = len(found) == len(page) and not begun
        known = len(page) if is_all else self._count()
        counted = COUNT_TO + 1 if known is None else known
        self.result_list = page
        self.result_count = counted
        self.rows_text = f"Over {self.list_per_page}" if known is None else _told(known)
        self.older = self.get_query_string({BEFORE: page[-1].pk}) if len(found) > len(page) else None
        self.newest = self.get_query_string(remove=[BEFORE]) if begun else None
        self.full_result_count = counted
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = Paginator(page, self.list_per_page)

    def _count(self) -> int | None:
        """None where the rows that a filter leaves lie too far apart to be counted while a person waits."""
        return setwise.within_ms(COUNT_FOR_MS, self.queryset.order_by()[: COUNT_TO + 1].count)

    def behind(self, last: int) -> QuerySet[Any]:
        """What follows the row of this key."""
        rows: QuerySet[Any] = self.queryset.filter(pk__lt=last)
        return rows


def _told(counted: int) -> str:
    return f"{COUNT_TO:,}+".replace(",", " ") if counted > COUNT_TO else str(counted)
