"""Jobs, with counts that are counted from the rows as the page is looked at."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery import jobs
from delivery.admin.base import ReadOnlyAdmin
from delivery.admin.looks import LOOKS, moment
from delivery.models import Job

ORDER = ("delivered", "late", "sent", "pending", "expired", "failed", "cancelled", "skipped")
"""From good to bad, as the bar draws them."""


def parts(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The bar's pieces: they sum to the whole, in percent."""
    whole, begins, found = counts["targeted"] or 1, 0.0, []
    for word in ORDER:
        percent = 100 * counts[word] / whole
        found.append(
            {"word": word, "shape": LOOKS[word].shape, "means": LOOKS[word].means, "count": counts[word],
             "x": f"{begins:.3f}%", "width": f"{percent:.3f}%", "percent": f"{percent:.1f} %"}
        )  # fmt: skip
        begins += percent
    return found


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin[Job]):
    change_form_template = "admin/job.html"
    list_display = ("job_id", "name", "state", "arrived", "priority", "ordered", "ordered_by")
    list_filter = ("status", "priority")
    list_per_page = 25
    search_fields = ("job_id__exact",)
    search_help_text = "Job id, in full"
    fields = ("job_id", "name", "ordered_by", "ordered", "written", "completed", "priority", "ttl_s", "collapse_key")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Without the right to everything, the jobs that one ordered oneself."""
        found = super().get_queryset(request)
        if getattr(request.user, "is_superuser", False):
            return found
        return found.filter(ordered_by=f"person:{request.user.get_username()}")

    def get_urls(self) -> list[URLPattern]:
        progress = self.admin_site.admin_view(self.progress_view)
        return [path("<path:object_id>/progress/", progress, name="delivery_job_progress"), *super().get_urls()]

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The panel alone, for the page that asks every 2 s."""
        job = self.get_object(request, object_id)
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        return TemplateResponse(request, "admin/job_progress.html", _panel(job))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        told = {} if job is None else {**_panel(job), "title": job.name}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **told})

    # --- what is shown -----------------------------------------------------------------------------------------------
    @admin.display(description="status")
    def state(self, job: Job) -> str:
        return jobs.status_word(job, jobs.progress(job))

    @admin.display(description="arrived")
    def arrived(self, job: Job) -> SafeString:
        counts = jobs.progress(job)
        return format_html(
            '<span class="number">{} of {}</span>', counts["delivered"] + counts["late"], counts["targeted"]
        )

    @admin.display(description="ordered (UTC)")
    def ordered(self, job: Job) -> str:
        return moment(job.created_at)

    @admin.display(description="all rows written (UTC)")
    def written(self, job: Job) -> str:
        return moment(job.fanned_out_at)

    @admin.display(description="completed (UTC)")
    def completed(self, job: Job) -> str:
        return moment(job.completed_at)


def _panel(job: Job) -> dict[str, Any]:
    counts = jobs.progress(job)
    return {
        "job": job,
        "status": jobs.status_word(job, counts),
        "counts": counts,
        "parts": parts(counts),
        "arrived": counts["delivered"] + counts["late"],
        "live": job.frozen_progress is None,
        "progress_url": reverse("admin:delivery_job_progress", args=[job.pk]),
        "messages_url": reverse("admin:delivery_pushnotificationlog_changelist"),
        "order": json.dumps({"target": job.target, "payload": job.payload}, indent=2, ensure_ascii=False),
    }
