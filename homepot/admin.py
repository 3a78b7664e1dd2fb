"""The admin site: stock Django admin under our name. Its first page is Push Health (analytics/pages/)."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest

APPS_IN_ORDER = ("delivery", "analytics", "auth", "axes", "knox")
"""What technicians come for, then who they are, then the machinery."""


class Site(AdminSite):
    site_header = "HOMEPOT Delivery"
    site_title = "HOMEPOT Delivery"
    index_title = "Push Health"
    site_url = None
    enable_nav_sidebar = False  # it takes a quarter of the width that lists of messages need

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = super().get_app_list(request, app_label)
        return sorted(apps, key=lambda app: [*APPS_IN_ORDER, app["app_label"]].index(app["app_label"]))
