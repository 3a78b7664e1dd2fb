"""What a device reports in words: log lines, what it did, what it changed, what worries it; and its own jobs."""

from abc import abstractmethod
from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery import reports
from delivery.api import answers
from delivery.api.base import DeviceView
from delivery.api.callers import calling_device
from delivery.api.fields import DeviceIdField, LineField, Moment, SmallJson, iso
from delivery.api.refusals import unless_own
from delivery.models import DeviceJob
from delivery.models.device_job import DeviceJobStatus
from delivery.models.device_report import ReportKind
from delivery.priority import PRIORITY_WORDS, Priority
from delivery.reports import OwnJob, Report

STORED = answers.shape("Stored", status=answers.text(), message=answers.text())
MAX_TEXT_CHARS = 4_000


def _word(default: str) -> LineField:
    return LineField(max_length=100, required=False, allow_blank=True, allow_null=True, default=default)


def _some_json() -> SmallJson:
    return SmallJson(max_chars=20_000, required=False, allow_null=True)


class ReportSerializer(serializers.Serializer[Any]):
    """What every report has. What else the body holds is passed over: agents in the field send more."""

    device_id = DeviceIdField()
    timestamp = Moment(required=False, allow_null=True)


class LogSerializer(ReportSerializer):
    level = LineField(max_length=20, required=False, allow_blank=True, allow_null=True, default="info")
    message = serializers.CharField(max_length=MAX_TEXT_CHARS)
    category = _word("device")
    context = _some_json()  # type: ignore[assignment]


class AuditSerializer(ReportSerializer):
    event_type = LineField(max_length=100)
    description = serializers.CharField(max_length=MAX_TEXT_CHARS)
    metadata = _some_json()


class AlertSerializer(ReportSerializer):
    title = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=MAX_TEXT_CHARS, required=False, allow_blank=True, allow_null=True)
    severity = LineField(max_length=20, required=False, allow_blank=True, allow_null=True, default="warning")
    category = _word("network")


class ConfigSerializer(ReportSerializer):
    action = LineField(max_length=100)
    parameter_name = LineField(max_length=200)
    old_value = _some_json()
    new_value = _some_json()
    success = serializers.BooleanField(required=False, allow_null=True, default=True)
    change_reason = serializers.CharField(max_length=MAX_TEXT_CHARS, required=False, allow_blank=True, allow_null=True)
    performance_before = _some_json()
    performance_after = _some_json()
    was_rolled_back = serializers.BooleanField(required=False, allow_null=True, default=False)
    rollback_reason = serializers.CharField(
        max_length=MAX_TEXT_CHARS, required=False, allow_blank=True, allow_null=True
    )
    rollback_success = serializers.BooleanField(required=False, allow_null=True)
    rollback_performance = _some_json()
    rolled_back_at = Moment(required=False, allow_null=True)


class ReportView(DeviceView):
    serializer: ClassVar[type[ReportSerializer]]
    stored: ClassVar[str]

    def post(self, request: Request) -> Response:
        device = calling_device(request)
        given = self.serializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        unless_own(device, said["device_id"])
        reports.store(device, self.report(said))
        return Response({"status": "success", "message": self.stored})

    @abstractmethod
    def report(self, said: dict[str, Any]) -> Report:
        """What is kept of it."""


@extend_schema(request=LogSerializer, responses=STORED)
class LogsView(ReportView):
    """`POST /agent/logs`: one line of the device's log."""

    serializer = LogSerializer
    stored = "Log stored"

    def report(self, said: dict[str, Any]) -> Report:
        return _report(ReportKind.LOG, said, said["message"], ("context",), said["level"], said["category"])


@extend_schema(request=AuditSerializer, responses=STORED)
class AuditView(ReportView):
    """`POST /agent/audit`: something that was done on the device."""

    serializer = AuditSerializer
    stored = "Audit event stored"

    def report(self, said: dict[str, Any]) -> Report:
        return _report(ReportKind.AUDIT, said, said["description"], ("metadata",), "", said["event_type"])


@extend_schema(request=AlertSerializer, responses=STORED)
class AlertView(ReportView):
    """`POST /agent/alert`: something on the device that a person should look at."""

    serializer = AlertSerializer
    stored = "Alert stored"

    def report(self, said: dict[str, Any]) -> Report:
        return _report(ReportKind.ALERT, said, said["title"], ("description",), said["severity"], said["category"])


@extend_schema(request=ConfigSerializer, responses=STORED)
class ConfigHistoryView(ReportView):
    """`POST /agent/config-history`: a setting that was changed on the device, and how that went."""

    serializer = ConfigSerializer
    stored = "Configuration change stored"

    def report(self, said: dict[str, Any]) -> Report:
        kept = tuple(name for name in said if name not in ("device_id", "timestamp", "parameter_name", "action"))
        level = "info" if said.get("success") is not False else "error"
        return _report(ReportKind.CONFIG, said, said["parameter_name"], kept, level, said["action"])


def _report(
    kind: ReportKind, said: dict[str, Any], text: str, kept: tuple[str, ...], level: str | None, category: str | None
) -> Report:
    details = {
        name: iso(said[name]) if name == "rolled_back_at" else said[name] for name in kept if said.get(name) is not None
    }
    return Report(kind, level or "", category or "", text, details, said.get("timestamp"))


# --- the device's own background jobs
class OwnJobSerializer(ReportSerializer):
    action = LineField(max_length=200)
    description = serializers.CharField(max_length=500, required=False, allow_blank=True, allow_null=True)
    priority = serializers.ChoiceField(PRIORITY_WORDS, required=False, default="normal")
    payload = _some_json()


class OwnJobReportSerializer(ReportSerializer):
    status = serializers.ChoiceField(["running", "completed", "failed"])
    result = _some_json()
    error_message = serializers.CharField(max_length=2_000, required=False, allow_blank=True, allow_null=True)


OWN_JOB = answers.enveloped(
    "OwnJob",
    job_id=answers.text(),
    action=answers.text(),
    status=serializers.ChoiceField(DeviceJobStatus.choices),
    priority=answers.text(),
    created_at=answers.moment(),
)


class OwnJobsView(DeviceView):
    """`POST /agent/jobs`: the device has a background job of its own. It is no order, and nothing is sent."""

    @extend_schema(request=OwnJobSerializer, responses=OWN_JOB)
    def post(self, request: Request) -> Response:
        device = calling_device(request)
        given = OwnJobSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        unless_own(device, said["device_id"])
        begun = reports.begin(
            device,
            OwnJob(
                action=said["action"],
                description=said.get("description") or "",
                priority=Priority.of(said["priority"]),
                payload=said.get("payload"),
                timestamp=said.get("timestamp"),
            ),
        )
        return Response(_own_job(begun, "Job created"))


class OwnJobView(DeviceView):
    """`PUT /agent/jobs/{own_job_id}`: where it is now. What has ended stays as it was first reported."""

    @extend_schema(request=OwnJobReportSerializer, responses=OWN_JOB)
    def put(self, request: Request, own_job_id: str) -> Response:
        device = calling_device(request)
        own = DeviceJob.objects.filter(device=device, job_id=own_job_id).first()
        if own is None:
            raise Http404
        given = OwnJobReportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        unless_own(device, said["device_id"])
        reports.move(
            own,
            DeviceJobStatus(said["status"]),
            result=said.get("result"),
            error_message=said.get("error_message") or "",
        )
        return Response(_own_job(own, f"Job is {own.status}"))


def _own_job(own: DeviceJob, message: str) -> dict[str, Any]:
    return {
        "status": "success",
        "message": message,
        "data": {
            "job_id": own.job_id,
            "action": own.action,
            "status": own.status,
            "priority": Priority(own.priority).word,
            "created_at": iso(own.created_at),
        },
    }
