"""Jobs, with counts that are counted from the rows as the page is looked at."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery import job_control, jobs
from delivery.admin.base import ReadOnlyAdmin, actor
from delivery.admin.looks import LOOKS, moment
from delivery.models import Job, Site
from delivery.models.job import JobStatus

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


def _retried(job: Job, request: HttpRequest) -> Job | None:
    """Within the sites of whoever clicks."""
    everywhere = getattr(request.user, "is_superuser", False)
    sites = Site.objects.filter(technicians=request.user.pk).values_list("site_id", flat=True)
    return job_control.retry_failed(job, reach=None if everywhere else list(sites), actor=actor(request))


CONTROLS: Mapping[str, Callable[[Job, HttpRequest], Job | None]] = {
    "pause": lambda job, request: job if job_control.pause(job, actor=actor(request)) else None,
    "resume": lambda job, request: job if job_control.resume(job, actor=actor(request)) else None,
    "cancel": lambda job, request: job if job_control.cancel(job, actor=actor(request)) else None,
    "retry": _retried,
}
"""By button: what it does, and the job to show then. None: the job's state did not allow it."""

BUTTONS = {
    JobStatus.QUEUED: (("pause", "Pause"), ("cancel", "Cancel the rest")),
    JobStatus.RUNNING: (("pause", "Pause"), ("cancel", "Cancel the rest")),
    JobStatus.PAUSED: (("resume", "Resume"), ("cancel", "Cancel the rest")),
}


def buttons(job: Job, request: HttpRequest) -> Sequence[tuple[str, str]]:
    """What can be done to the job now, as (act, label)."""
    if not request.user.has_perm("delivery.change_job"):
        return ()
    counts = jobs.progress(job)
    if job.status == JobStatus.COMPLETED and (missed := counts["failed"] + counts["expired"]):
        return (("retry", f"Try again on the {missed} that it missed"),)
    return BUTTONS.get(JobStatus(job.status), ())


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin[Job]):
    change_form_template = "admin/job.html"
    list_display = ("job_id", "name", "state", "arrived", "priority", "ordered", "ordered_by")
    list_filter = ("status", "priority")
    list_per_page = 25
    search_fields = ("job_id__exact",)
    search_help_text = "Job id, in full"
    fields = (
        "job_id",
        "name",
        "ordered_by",
        "ordered",
        "written",
        "completed",
        "priority",
        "ttl_s",
        "collapse_key",
        "retry_of",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Without the right to everything, the jobs that one ordered oneself."""
        found = super().get_queryset(request)
        if getattr(request.user, "is_superuser", False):
            return found
        return found.filter(ordered_by=f"person:{request.user.get_username()}")

    def get_urls(self) -> list[URLPattern]:
        progress = self.admin_site.admin_view(self.progress_view)
        control = self.admin_site.admin_view(self.control_view)
        return [
            path("<path:object_id>/progress/", progress, name="delivery_job_progress"),
            path("<path:object_id>/control/<str:act>/", control, name="delivery_job_control"),
            *super().get_urls(),
        ]

    def control_view(self, request: HttpRequest, object_id: str, act: str) -> HttpResponse:
        """One of the buttons: pause, resume, cancel or retry; then back to the job, or on to the new one."""
        job = self.get_object(request, object_id)
        if job is None or request.method != "POST" or act not in CONTROLS:
            raise Http404
        if not request.user.has_perm("delivery.change_job"):
            raise PermissionDenied
        shown = CONTROLS[act](job, request)
        if shown is None:
            self.message_user(request, "The job has moved on meanwhile: nothing was changed.", messages.WARNING)
        return HttpResponseRedirect(reverse("admin:delivery_job_change", args=[(shown or job).pk]))

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
        told = {} if job is None else {**_panel(job), "title": job.name, "buttons": buttons(job, request)}
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
        "order": json.dumps({"target": job.target, "payload": _payload(job)}, indent=2, ensure_ascii=False),
    }


def _payload(job: Job) -> object:
    return job.payload if job.wiped_at is None else f"wiped at {job.wiped_at:%Y-%m-%d %H:%M} UTC"
