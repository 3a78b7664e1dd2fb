"""The addresses of the pages, before the admin's own. Whoever is not signed in is sent to sign in."""

from django.contrib import admin
from django.urls import path
from django.urls.resolvers import URLPattern

from analytics.pages import views

urlpatterns: list[URLPattern] = [
    path("", admin.site.admin_view(views.first_page), name="push_health"),
    path("sites/<str:site_id>/", admin.site.admin_view(views.site), name="site_page"),
    path("providers/<str:name>/", admin.site.admin_view(views.provider), name="provider_page"),
    path("tables/<str:name>.csv", admin.site.admin_view(views.table), name="table"),
]
