"""The record: one file per table, its facts and its verbs."""

from delivery.models.address_challenge import AddressChallenge
from delivery.models.alert import Alert
from delivery.models.alert_notice import AlertNotice
from delivery.models.api_key import ApiKey
from delivery.models.attempt import DeliveryAttempt
from delivery.models.audit import AuditLog
from delivery.models.channel import Channel
from delivery.models.claim import Claim
from delivery.models.connectivity import Connectivity
from delivery.models.device import Device
from delivery.models.device_command import DeviceCommand
from delivery.models.device_job import DeviceJob
from delivery.models.device_report import DeviceReport
from delivery.models.gate_span import GateSpan
from delivery.models.job import Job
from delivery.models.last_run import LastRun
from delivery.models.provider_state import ProviderState
from delivery.models.push_log import PushNotificationLog, Status
from delivery.models.receipt import Receipt
from delivery.models.refused_registration import RefusedRegistration
from delivery.models.site import Site
from delivery.models.site_pin import SitePin
from delivery.models.telemetry import TelemetryBatch, TelemetryLog
from delivery.models.verdict import Verdict

__all__ = [
    "AddressChallenge",
    "Alert",
    "AlertNotice",
    "ApiKey",
    "AuditLog",
    "Channel",
    "Claim",
    "Connectivity",
    "DeliveryAttempt",
    "Device",
    "DeviceCommand",
    "DeviceJob",
    "DeviceReport",
    "GateSpan",
    "Job",
    "LastRun",
    "ProviderState",
    "PushNotificationLog",
    "Receipt",
    "RefusedRegistration",
    "Site",
    "SitePin",
    "Status",
    "TelemetryBatch",
    "TelemetryLog",
    "Verdict",
]
