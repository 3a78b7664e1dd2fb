"""The addresses of the numbers. No trailing slash."""

from django.urls import path
from django.urls.resolvers import URLPattern

from analytics.api import attention, heatmap, pins, providers, push, registrations, stats

urlpatterns: list[URLPattern] = [
    path("push", push.PushView.as_view()),
    path("heatmap", heatmap.HeatmapView.as_view()),
    path("providers", providers.ProvidersView.as_view()),
    path("sites/<str:site_id>/pin", pins.PinView.as_view()),
    path("alerts", attention.AlertsView.as_view()),
    path("zombies", attention.ZombiesView.as_view()),
    path("stats", stats.StatsView.as_view()),
    path("registrations", registrations.RegistrationsView.as_view()),
    path("addresses", registrations.AddressesView.as_view()),
]
