"""What people do to a job under way."""

from abc import abstractmethod

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import job_control, jobs
from delivery.api import shapes
from delivery.api.callers import caller
from delivery.api.errors import Conflict
from delivery.api.orders import SendingView, job_json, job_or_404
from delivery.models import Job


class JobControlView(SendingView):
    """200 with the job as it then is; 409 where its state does not allow it."""

    @extend_schema(request=None, responses=shapes.JOB)
    def post(self, request: Request, job_id: str) -> Response:
        job = self.act(request, job_or_404(caller(request), job_id))
        return Response(job_json(job, jobs.count(job.job_id)))

    @abstractmethod
    def act(self, request: Request, job: Job) -> Job:
        """The job to show, or `Conflict`."""


class PauseView(JobControlView):
    """`POST /jobs/{job_id}/pause`: nothing of it is sent, and no waiting message runs out, until it is resumed."""

    def act(self, request: Request, job: Job) -> Job:
        return _or_conflict(job, job_control.pause(job, actor=caller(request).name), "Only a job under way is paused")


class ResumeView(JobControlView):
    """`POST /jobs/{job_id}/resume`: it goes on with the time that was left."""

    def act(self, request: Request, job: Job) -> Job:
        return _or_conflict(job, job_control.resume(job, actor=caller(request).name), "The job is not paused")


class CancelView(JobControlView):
    """`POST /jobs/{job_id}/cancel`: call off what no device has acked."""

    def act(self, request: Request, job: Job) -> Job:
        return _or_conflict(job, job_control.cancel(job, actor=caller(request).name), "The job has ended already")


class RetryFailedView(JobControlView):
    """`POST /jobs/{job_id}/retry-failed`: a new job for the devices that this one failed or expired on.

    A job is retried once: asking again answers with the same new job, which can be retried in its turn.
    """

    def act(self, request: Request, job: Job) -> Job:
        again = job_control.retry_failed(job, reach=self.sites_of(request), actor=caller(request).name)
        if again is None:
            raise Conflict("Only a completed job is retried, where a device was missed and its payload is still kept")
        return again


def _or_conflict(job: Job, done: bool, refusal: str) -> Job:
    if not done:
        raise Conflict(refusal)
    return job
