"""What every page of ours has in common: who sees what, nothing is deleted, and each change is in the audit log."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from delivery.admin.paging import NewestFirst
from delivery.models import AuditLog

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    StockAdmin = admin.ModelAdmin
else:

    class StockAdmin(admin.ModelAdmin, Generic[M]):
        """Django's own, which takes its model's type only while it is being checked."""


class AuditedAdmin(StockAdmin[M]):
    """A page whose changes are in the audit log beside the admin's own history."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions_on_top = True

    def named(self, of: M) -> str:
        """How the audit log calls this object."""
        return str(of.pk)

    def note(self, request: HttpRequest, action: str, of: M, **details: Any) -> None:
        AuditLog.note(actor(request), action, of, self.named(of), **details)

    def log_addition(self, request: HttpRequest, obj: M, message: Any) -> Any:
        self.note(request, "added", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: M, message: Any) -> Any:
        self.note(request, "changed", obj, what=message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[M]) -> Any:
        for obj in queryset:
            self.note(request, "deleted", obj)
        return super().log_deletions(request, queryset)

    def show_key(self, request: HttpRequest, *, whose: str, key: str, hint: str) -> HttpResponse:
        """The one page on which a key ever stands."""
        page = {**self.admin_site.each_context(request), "title": whose, "key": key, "hint": hint, "opts": self.opts}
        return TemplateResponse(request, "admin/key_shown_once.html", page, headers={"Cache-Control": "no-store"})


class RecordAdmin(AuditedAdmin[M]):
    """A page over a table of the record, which may hold millions of rows. Nothing of the record is ever deleted."""

    sees_through: ClassVar[str | None] = None
    """The way from a row to the technicians of its site; None where the permission alone decides."""
    list_per_page = 50
    list_select_related: ClassVar[bool | tuple[str, ...]] = False
    sortable_by: ClassVar[tuple[str, ...]] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return NewestFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        rows = super().get_queryset(request)
        if self.sees_through is None or getattr(request.user, "is_superuser", False):
            return rows
        return rows.filter(**{self.sees_through: request.user.pk})

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


class ReadOnlyAdmin(RecordAdmin[M]):
    """Written by the pipeline; people only look."""

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def actor(request: HttpRequest) -> str:
    """As the audit log names who is signed in."""
    return f"person:{request.user.get_username()}"


def one(rows: Iterable[M]) -> M | None:
    """The row that was chosen, if it was exactly one."""
    chosen = list(rows)[:2]
    return chosen[0] if len(chosen) == 1 else None
