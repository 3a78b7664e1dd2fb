"""The addresses of the API, in the groups of docs/api. No trailing slash under v1."""

from django.urls import include, path, register_converter
from django.urls.converters import StringConverter
from django.urls.resolvers import URLPattern, URLResolver
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from delivery.api import sign_in


class DeviceId(StringConverter):
    regex = "[A-Za-z0-9_.:-]{1,100}"


register_converter(DeviceId, "device_id")

Paths = list[URLPattern | URLResolver]

people: Paths = [
    path("auth/token", sign_in.TokenView.as_view()),
]

urlpatterns: Paths = [
    path("v1/", include(people)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]
