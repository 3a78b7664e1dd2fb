"""Orders: jobs, for whoever their target names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import clocks, intake, jobs
from delivery.api import reach, shapes
from delivery.api.base import CallerView
from delivery.api.callers import Caller, caller
from delivery.api.errors import Unprocessable
from delivery.api.serializers import (
    JobSerializer,
    SiteJobSerializer,
)
from delivery.models import Device, Job
from delivery.models.push_log_rows import NewRow
from delivery.priority import Priority

MIB = 1024 * 1024
SHOWN = (
    *("badge", "sound", "icon", "image", "subtitle", "category", "thread_id", "tag"),
    *("data_only", "wake", "actions", "platforms"),
)
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}\Z")
PAGE = 50
IDEMPOTENCY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)


class SendingView(CallerView):
    """For technicians, at their sites, and for backends that hold `jobs:write`."""

    scope_read = "jobs:read"
    scope_write = "jobs:write"

    def handle_exception(self, exc: Exception) -> Response:
        """What is wrong with an order is a 422 that names the field; one that comes at a bad time, a 429."""
        if isinstance(exc, jobs.BadOrder):
            exc = Unprocessable({exc.field_name: [exc.text]})
        elif isinstance(exc, jobs.KeyReused):
            exc = Unprocessable({"Idempotency-Key": [str(exc)]})
        elif isinstance(exc, intake.Overloaded):
            exc = Throttled(intake.RETRY_AFTER_S, detail=str(exc))
        return super().handle_exception(exc)

    def sites_of(self, request: Request) -> list[str] | None:
        """The sites that the caller may send to; None: everything."""
        who = caller(request)
        if who.backend is not None or (who.person is not None and who.person.is_superuser):
            return None
        found = list(reach.sites(who).values_list("site_id", flat=True))
        if not found:
            raise PermissionDenied("Only technicians may send, to the sites that were given to them")
        return found

    def once(self, request: Request) -> jobs.Once | None:
        """The order's key, where the caller gave it one; it stands for this path and body."""
        key = idempotency_key(request)
        return None if key is None else jobs.once(key, [request.path, request.data])

    def accepted_before(self, request: Request, once: jobs.Once | None) -> dict[str, NewRow] | None:
        """The messages of the same call with the same key, by `device_id`."""
        return None if once is None else jobs.accepted_before(caller(request).name, once)

    def order_for(self, request: Request, devices: Sequence[Device], **fields: Any) -> jobs.Order:
        """An order for these devices alone."""
        return jobs.Order(
            target=jobs.Target(devices=[device.device_id for device in devices]),
            ordered_by=caller(request).name,
            reach=self.sites_of(request),
            **fields,
        )

    def device_or_404(self, request: Request, device_id: str) -> Device:
        found = reach.managed_devices(caller(request)).filter(device_id=device_id).first()
        if found is None:
            raise Http404
        return found


class JobsView(SendingView):
    """`POST /jobs`: 202 once the order is committed. `GET /jobs`: the newest first, `?before=<job_id>` pages on."""

    max_body_bytes = MIB
    max_keys = 20_000

    @extend_schema(request=JobSerializer, responses={202: shapes.JOB}, parameters=[IDEMPOTENCY])
    def post(self, request: Request) -> Response:
        body = JobSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        push = body.validated_data["push_notification"]
        payload = content(push, config_url=push.get("config_url"), version=push.get("version"))
        if not any(payload[key] for key in ("title", "body", "data")):
            raise Unprocessable({"push_notification": ["is empty: give a title, a body, data or a config_url"]})
        order = jobs.Order(
            name=body.validated_data["name"],
            target=jobs.Target(**body.validated_data["target"]),
            payload=payload,
            priority=Priority.of(push["priority"]),
            ttl_s=push.get("ttl_seconds"),
            collapse_key=push["collapse_key"],
            ordered_by=caller(request).name,
            reach=self.sites_of(request),
        )
        job, _ = jobs.accept(order, idempotency_key=idempotency_key(request))
        return Response(job_json(job, jobs.count(job.job_id)), status=202)

    @extend_schema(operation_id="v1_jobs_list", responses=shapes.JOBS, parameters=[OpenApiParameter("before", str)])
    def get(self, request: Request) -> Response:
        found = jobs_in_reach(caller(request))
        before = request.query_params.get("before")
        if before is not None:
            found = found.filter(pk__lt=_or_404(found.filter(job_id=before[:100]).first()).pk)
        page = list(found[: PAGE + 1])
        return Response(
            {
                "jobs": [job_json(job) for job in page[:PAGE]],
                "next": f"?before={page[PAGE - 1].job_id}" if len(page) > PAGE else None,
            }
        )


class JobView(SendingView):
    """`GET /jobs/{job_id}`: the job and how many of its messages are where."""

    @extend_schema(responses=shapes.JOB)
    def get(self, request: Request, job_id: str) -> Response:
        return Response(job_json(job_or_404(caller(request), job_id)))


class SiteJobsView(SendingView):
    """`POST /sites/{site_id}/jobs`: an action for a site's devices, or for one of them."""

    @extend_schema(request=SiteJobSerializer, responses=shapes.SITE_JOB, parameters=[IDEMPOTENCY])
    def post(self, request: Request, site_id: str) -> Response:
        body = SiteJobSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        site = _or_404(reach.sites(caller(request)).filter(site_id=site_id).first())
        payload = content(
            {"title": asked["action"], "body": asked["description"], "data": {"action": asked["action"]}},
            config_url=asked.get("config_url"),
            version=asked.get("config_version"),
        )
        target = jobs.Target(sites=[site.site_id])
        if "device_id" in asked:
            device = self.device_or_404(request, asked["device_id"])
            if device.site_id != site.site_id:
                raise Http404
            target = jobs.Target(devices=[device.device_id])
        order = jobs.Order(
            name=asked["action"],
            target=target,
            payload=payload,
            priority=Priority.of(asked["priority"]),
            ordered_by=caller(request).name,
            reach=self.sites_of(request),
        )
        job, _ = jobs.accept(order, idempotency_key=idempotency_key(request))
        return Response(
            {
                "message": f"Job created for site {site.site_id}",
                "job_id": job.job_id,
                "site_id": site.site_id,
                "action": asked["action"],
                "status": "queued",
            }
        )


def content(asked: Mapping[str, Any], *, config_url: str | None = None, version: str | None = None) -> dict[str, Any]:
    """The payload as devices get it. A configuration's address and version travel in `data`."""
    data = dict(asked.get("data") or {})
    if config_url:
        data["config_url"] = config_url
    if version:
        data["version"] = version
    shown = {key: asked[key] for key in SHOWN if key in asked}
    return {"title": asked.get("title", ""), "body": asked.get("body", ""), "data": data, **shown}


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.match(key):
        raise Unprocessable({"Idempotency-Key": ["must be 1 to 200 visible ASCII characters"]})
    return key


def jobs_in_reach(who: Caller) -> Any:
    """The jobs that the caller ordered, or all for whoever sees all."""
    if who.backend is not None or (who.person is not None and who.person.is_superuser):
        return Job.objects.all()
    return Job.objects.filter(ordered_by=who.name)


def job_or_404(who: Caller, job_id: str) -> Job:
    found: Job = _or_404(jobs_in_reach(who).filter(job_id=job_id).first())
    return found


def job_json(job: Job, counts: dict[str, int] | None = None) -> dict[str, Any]:
    """`counts`: where the cached ones will not do."""
    counts = counts or jobs.progress(job)
    return {
        "job_id": job.job_id,
        "name": job.name,
        "status": jobs.status_word(job, counts),
        "priority": Priority(job.priority).word,
        "target": job.target,
        "ttl_seconds": job.ttl_s,
        "created_at": job.created_at.isoformat(),
        "completed_at": job.completed_at.isoformat() if job.completed_at else None,
        "fanned_out": job.fanned_out_at is not None,
        "retry_of": job.retry_of_id,
        "progress": counts,
    }


def now_text() -> str:
    return clocks.db_now().isoformat()


def _or_404(found: Any) -> Any:
    if found is None:
        raise Http404
    return found
