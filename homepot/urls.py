"""Where each address leads."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.urls.resolvers import URLPattern, URLResolver

from analytics import metrics
from homepot import errors, health, portal

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", include("analytics.pages.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/analytics/", include("analytics.api.urls")),
    path("api/", include("delivery.api.urls")),
    re_path(r"^api/(?P<rest>.*)$", errors.nowhere),
    path("portal/", portal.page, name="portal"),
    path("portal/sign-in/", portal.SignIn.as_view(), name="portal-sign-in"),
    path("portal/sign-out/", portal.SignOut.as_view(), name="portal-sign-out"),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics.page),
]

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error
