"""What orders, messages and acks look like from outside, for the generated documentation."""

from rest_framework import serializers

from delivery.api import answers
from delivery.api.answers import count, moment, shape, text
from delivery.models.receipt import ReceiptStatus


def anything() -> serializers.JSONField:
    return serializers.JSONField()


def maybe() -> serializers.CharField:
    return serializers.CharField(allow_null=True)


PROGRESS_PARTS = ("targeted", "pending", "sent", "delivered", "late", "failed", "expired", "cancelled", "skipped")

JOB_FIELDS = {
    "job_id": text(),
    "name": text(),
    "status": text(),
    "priority": text(),
    "target": anything(),
    "ttl_seconds": count(),
    "created_at": moment(),
    "completed_at": moment(),
    "fanned_out": serializers.BooleanField(help_text="Whether `targeted` is final."),
    "retry_of": maybe(),
    "progress": shape("Progress", **{part: count() for part in PROGRESS_PARTS}),
}
JOB = shape("Job", **JOB_FIELDS)
JOBS = shape("Jobs", jobs=answers.many("Job", **JOB_FIELDS), next=maybe())
SITE_JOB = shape("SiteJob", message=text(), job_id=text(), site_id=text(), action=text(), status=text())

SENT = shape(
    "Sent",
    success=serializers.BooleanField(),
    message=text(),
    message_id=maybe(),
    platform=text(),
    timestamp=moment(),
    details=anything(),
)
SENT_MANY = shape(
    "SentMany",
    success=serializers.BooleanField(),
    message=text(),
    platform=text(),
    total=count(),
    success_count=serializers.IntegerField(help_text="Accepted orders."),
    failure_count=count(),
    timestamp=moment(),
    details=anything(),
)
AGENT_PUSH = shape(
    "AgentPush",
    message=text(),
    device_id=text(),
    message_id=text(),
    response=shape(
        "AgentPushResponse", status=text(), message=text(), device_id=text(), message_id=text(), timestamp=moment()
    ),
)

PENDING = shape(
    "Pending",
    device_id=text(),
    pushes=answers.many(
        "PendingPush", message_id=text(), provider=text(), payload=anything(), sent_at=moment(), status=text()
    ),
)
MESSAGE = shape(
    "Message",
    message_id=text(),
    device_id=text(),
    site_id=maybe(),
    job_id=maybe(),
    status=text(),
    late=serializers.BooleanField(),
    provider=text(),
    fallback_from=maybe(),
    priority=text(),
    attempts=count(),
    created_at=moment(),
    expires_at=moment(),
    sent_at=moment(),
    received_at=moment(),
    acked_at=moment(),
    opened_at=moment(),
    latency_ms=serializers.IntegerField(allow_null=True),
    clock_skewed=serializers.BooleanField(),
    error_code=maybe(),
    error_message=maybe(),
    verdict=maybe(),
    evidence=maybe(),
    timeline=answers.many("Event", at=moment(), what=text()),
)

ACK_FIELDS = {
    "message_id": text(),
    "device_id": serializers.CharField(required=False),
    "status": serializers.ChoiceField(ReceiptStatus.choices, default=ReceiptStatus.DELIVERED),
    "received_at": serializers.DateTimeField(required=False),
    "error_message": serializers.CharField(required=False),
    "error_code": serializers.CharField(required=False),
    "platform": serializers.CharField(required=False),
    "ack_token": serializers.CharField(required=False),
    "device_time": serializers.DateTimeField(required=False),
}
ACK = shape("AckRequest", **ACK_FIELDS)
ACKS = answers.many("AckRequest", **ACK_FIELDS)
ACKNOWLEDGED = shape("Acknowledged", status=text())
ACKNOWLEDGED_MANY = shape(
    "AcknowledgedMany",
    results=answers.many("AckResult", message_id=maybe(), status=text(), detail=serializers.CharField(required=False)),
)
