"""`{% push_health %}`: the panels of the admin's first page."""

from typing import Any

from django import template

from analytics import dashboard, health
from delivery import clocks
from delivery.admin.looks import moment

register = template.Library()


@register.inclusion_tag("admin/push_health.html")
def push_health() -> dict[str, Any]:
    found = health.last_hours(clocks.db_now())
    return {"tiles": dashboard.tiles(found), "as_of": moment(found.as_of) if found.as_of else ""}
