"""The addresses of the API, in the groups of docs/api. No trailing slash under v1."""

from django.urls import include, path, register_converter
from django.urls.converters import StringConverter
from django.urls.resolvers import URLPattern, URLResolver
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import delivery.api.documentation  # noqa: F401  (its classes register themselves)
from delivery.api import (
    acks,
    agents,
    channels,
    commands,
    devices,
    grants,
    job_control,
    messages,
    messenger,
    orders,
    provisioning,
    pushes,
    reports,
    sign_in,
    subscriptions,
    telemetry,
)


class DeviceId(StringConverter):
    regex = "[A-Za-z0-9_.:-]{1,100}"


register_converter(DeviceId, "device_id")

Paths = list[URLPattern | URLResolver]

people: Paths = [
    path("auth/token", sign_in.TokenView.as_view()),
]

agent: Paths = [
    path("devices/bootstrap-provision", provisioning.ProvisionView.as_view()),
    path("agent/device-dna", agents.DnaView.as_view()),
    path("agent/heartbeat", agents.HeartbeatView.as_view()),
    path("agent/telemetry", telemetry.TelemetryView.as_view()),
    path("agent/<device_id:device_id>/status", agents.StatusView.as_view()),
    path("telemetry/flush", telemetry.FlushView.as_view()),
    path("agent/logs", reports.LogsView.as_view()),
    path("agent/audit", reports.AuditView.as_view()),
    path("agent/alert", reports.AlertView.as_view()),
    path("agent/config-history", reports.ConfigHistoryView.as_view()),
    path("agent/jobs", reports.OwnJobsView.as_view()),
    path("agent/jobs/<str:own_job_id>", reports.OwnJobView.as_view()),
    path("devices/device/<device_id:device_id>/push-logs", devices.PushLogsView.as_view()),
    path("devices/device/<device_id:device_id>/permissions", grants.GrantsView.as_view()),
    path("devices/device/<device_id:device_id>/commands", commands.CommandsView.as_view()),
    path("devices/pending", commands.WaitingView.as_view()),
    path("devices/<device_id:device_id>/commands/<str:command_id>/ack", commands.TakeView.as_view()),
    path("devices/<str:command_id>/status", commands.CommandReportView.as_view()),
]

fleet: Paths = [
    path("sites", devices.SitesView.as_view()),
    path("devices", devices.DevicesView.as_view()),
    path("devices/<device_id:device_id>/key", devices.DeviceKeyView.as_view()),
    path("devices/<device_id:device_id>/channels/<str:provider>", channels.ChannelView.as_view()),
]

clients: Paths = [
    path("push/subscribe", subscriptions.SubscribeView.as_view()),
    path("push/vapid-public-key", subscriptions.VapidKeyView.as_view()),
    path("messenger/devices", messenger.MessengerDevicesView.as_view()),
    path("messenger/devices/register", messenger.RegisterView.as_view()),
    path("messenger/devices/<path:device_token>", messenger.UnregisterView.as_view()),
]

ordering: Paths = [
    path("jobs", orders.JobsView.as_view()),
    path("jobs/<str:job_id>", orders.JobView.as_view()),
    path("jobs/<str:job_id>/pause", job_control.PauseView.as_view()),
    path("jobs/<str:job_id>/resume", job_control.ResumeView.as_view()),
    path("jobs/<str:job_id>/cancel", job_control.CancelView.as_view()),
    path("jobs/<str:job_id>/retry-failed", job_control.RetryFailedView.as_view()),
    path("devices/<device_id:device_id>/commands", commands.QueueView.as_view()),
    path("push/send", pushes.SendView.as_view()),
    path("push/send-bulk", pushes.SendBulkView.as_view()),
    path("sites/<str:site_id>/jobs", orders.SiteJobsView.as_view()),
    path("agents/<device_id:device_id>/push", pushes.AgentPushView.as_view()),
]

receiving: Paths = [
    path("push/pending", messages.PendingView.as_view()),
    path("push/ack", acks.AckView.as_view()),
    path("push/ack/batch", acks.AckBatchView.as_view()),
    path("messages/<uuid:message_id>", messages.MessageView.as_view()),
]

urlpatterns: Paths = [
    path("v1/", include([*people, *agent, *fleet, *clients, *ordering, *receiving])),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]
