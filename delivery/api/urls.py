"""The addresses of the API, in the groups of docs/api. No trailing slash under v1."""

from django.urls import include, path, register_converter
from django.urls.converters import StringConverter
from django.urls.resolvers import URLPattern, URLResolver
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from delivery.api import acks as acks_views
from delivery.api import messages as messages_views
from delivery.api import orders as orders_views
from delivery.api import sign_in


class DeviceId(StringConverter):
    regex = "[A-Za-z0-9_.:-]{1,100}"


register_converter(DeviceId, "device_id")

Paths = list[URLPattern | URLResolver]

people: Paths = [
    path("auth/token", sign_in.TokenView.as_view()),
]

orders: Paths = [
    path("jobs", orders_views.JobsView.as_view()),
    path("jobs/<str:job_id>", orders_views.JobView.as_view()),
    path("push/send", orders_views.SendView.as_view()),
    path("push/send-bulk", orders_views.SendBulkView.as_view()),
    path("sites/<str:site_id>/jobs", orders_views.SiteJobsView.as_view()),
    path("agents/<device_id:device_id>/push", orders_views.AgentPushView.as_view()),
]

messages: Paths = [
    path("push/pending", messages_views.PendingView.as_view()),
    path("push/ack", acks_views.AckView.as_view()),
    path("push/ack/batch", acks_views.AckBatchView.as_view()),
    path("messages/<uuid:message_id>", messages_views.MessageView.as_view()),
]

urlpatterns: Paths = [
    path("v1/", include(people)),
    path("v1/", include(orders)),
    path("v1/", include(messages)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]
